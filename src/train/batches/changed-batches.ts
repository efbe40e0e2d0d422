/** Which batches `train` learns from, where options change those that were read. */
import type { Batch } from "../../data/batch.ts";
import type { Values } from "../../method/options.ts";
import type { Log } from "../../run/command-context.ts";
import type { ReadRows } from "../../run/training/batch-source.ts";
import type { WorkPart } from "../../run/training/join-work.ts";
import type { Built } from "../../run/training/technique.ts";
import type { TRAIN } from "../options.ts";
import { withChains } from "./chain-forward.ts";
import { withPromptsChanged } from "./increments.ts";
import { plantedWork, type ReadPlant } from "./plant.ts";

interface Asked {
  readonly options: Values<typeof TRAIN>;
  readonly seed: number;
  readonly log: Pick<Log, "event">;
  warn(message: string): void;
}

/** Batches in the place of those that were read: with other prompts, in chains, or with rows planted among them. */
export async function changedBatches(
  context: Asked,
  { model, tools, steps }: Built,
  source: ReadRows,
  plant: ReadPlant | undefined,
): Promise<WorkPart<Batch>> {
  const { options, seed } = context;
  const { accumulate, batch_size: rows, plant_every: every } = options;
  const pad = tools?.tokenizer?.pad ?? 0;
  const chained = await withChains(model, source, options, { seed, pad });
  const timing = { batches: steps * accumulate, rows, seed, pad, every };
  const planted = plantedWork(plant, model, source, timing, context);
  const taken = planted ?? chained;
  return {
    ...(taken
      ? { source: taken.source }
      : withPromptsChanged(source, options, { seed, pad: tools?.tokenizer?.pad, steps, accumulate })),
    controllers: planted ? [planted.controller] : [],
    memory: chained?.memory ?? {},
    told: () => planted?.told() ?? {},
    free() {
      chained?.free();
      planted?.free();
    },
  };
}
