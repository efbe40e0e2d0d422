/**
 * `train --log-fau`: how many hidden units are active on a few rows of the data, told in the log on the way. `evaluate
 * --probe fau` counts them so of a model that is there. Ma et al., ICLR 2024, https://arxiv.org/abs/2310.07418
 */
import { type Batch, collate, stackExamples } from "../data/batch.ts";
import type { Values } from "../method/options.ts";
import type { Model } from "../model/model.ts";
import type { Log } from "../run/command-context.ts";
import { ACTIVE, activeUnits } from "../run/tracing/active-units.ts";
import type { readBatches } from "../run/training/batch-source.ts";
import type { Controller } from "../run/training/controller.ts";
import type { TRAIN } from "./options.ts";

type Source = Awaited<ReturnType<typeof readBatches>>;
type Asked = Pick<Values<typeof TRAIN>, "log_fau" | "fau_rows">;

/** The first rows of the data as one batch. */
function firstRows(source: Source, many: number, pad: number): Batch {
  if (!("data" in source)) return stackExamples(source.examples.slice(0, many));
  return collate(
    source.data.sequences.slice(0, many).map((sequence) => [sequence]),
    { pad },
  );
}

/**
 * Counts before the first step, every so many steps, and changes nothing. Throws UserError for a model without units.
 */
export function fauLog(
  { log_fau: every, fau_rows: many }: Asked,
  source: Source,
  { model, pad }: { readonly model: Model; readonly pad: number },
  { log, signal }: { readonly log: Pick<Log, "event">; readonly signal: AbortSignal },
): Controller[] {
  if (every === undefined) return [];
  const batches = [firstRows(source, many, pad)];
  const tell = async (step: number) => {
    const found = await activeUnits(model, batches, { ...ACTIVE, ref: "the model", signal });
    const layers = [...found].map(([layer, activity]) => ({ layer, ...activity }));
    const mean = (of: "active" | "dormant") => layers.reduce((sum, layer) => sum + layer[of], 0) / layers.length;
    log.event("fau", { step, active: mean("active"), dormant: mean("dormant"), layers });
  };
  return [
    {
      name: "fau",
      begin: () => tell(0),
      due: (step) => step % every === 0,
      after: tell,
      state: () => null,
      load() {},
    },
  ];
}
