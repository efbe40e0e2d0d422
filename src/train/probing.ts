/**
 * `train --probe`: probes that look at the model on the way, at the first rows of the data, before the first step and
 * every so many; what they see goes to the log. Steps run ahead of their results in between: nothing is read back then.
 */
import { type Batch, collate, stackExamples } from "../data/batch.ts";
import { UserError } from "../errors.ts";
import type { Bound } from "../method/bind.ts";
import type { Options, Values } from "../method/options.ts";
import type { Log } from "../run/command-context.ts";
import type { ReadRows } from "../run/training/batch-source.ts";
import type { Controller } from "../run/training/controller.ts";
import type { Optimizer } from "../run/training/optimizer.ts";
import type { Built } from "../run/training/technique.ts";
import type { UpdateRule } from "../run/training/update-rule.ts";
import type { RunningProbe, TrainingProbe } from "./training-probe.ts";

export const PROBING = {
  probe: {
    type: "string[]",
    kind: "training-probe",
    decides: "nothing",
    help: "what looks at the model on the way, and tells --log",
  },
  probe_every: {
    type: "number.integer >= 1",
    default: 100,
    needs: "probe",
    decides: "nothing",
    help: "steps between two looks; the first is before the first step",
    value: "N",
  },
  probe_rows: {
    type: "number.integer >= 1",
    default: 16,
    needs: "probe",
    decides: "nothing",
    help: "first rows of --data that are looked at, --batch-size of them at once",
    value: "N",
  },
} as const satisfies Options;

export interface ProbeContext {
  readonly picks: { readonly probe: readonly Bound<TrainingProbe>[]; readonly optimizer: readonly Bound<Optimizer>[] };
  readonly options: Pick<Values<typeof PROBING>, "probe_every" | "probe_rows"> & {
    readonly batch_size: number;
    readonly output_scale?: number | undefined;
  };
  readonly log: Pick<Log, "event">;
  readonly seed: number;
  warn(message: string): void;
}

/** The part of a training's work that looks. */
export interface Probing {
  readonly controllers: readonly Controller[];
  readonly updates: readonly UpdateRule[];
  readonly memory: Readonly<Record<string, number>>;
  free(): void;
}

/** The first rows of the data in batches. */
export function firstRows(source: ReadRows, many: number, atOnce: number, pad: number): Batch[] {
  const parts = <T>(rows: readonly T[]): T[][] =>
    Array.from({ length: Math.ceil(rows.length / atOnce) }, (_, i) => rows.slice(i * atOnce, (i + 1) * atOnce));
  if (!("data" in source)) return parts(source.examples.slice(0, many)).map((rows) => stackExamples(rows));
  return parts(source.data.sequences.slice(0, many)).map((rows) =>
    collate(
      rows.map((row) => [row]),
      { pad },
    ),
  );
}

/** Follows a training with one probe. */
function follow(name: string, running: RunningProbe, { log, warn, options }: ProbeContext): Controller {
  const { probe_every: every, output_scale: factor } = options;
  const hears = factor === undefined; // else held-out losses are of other outputs

  const said = new Set<string>();
  const look = async (step: number, held: Parameters<RunningProbe["look"]>[1]) => {
    const { numbers, parts, warnings = [] } = await running.look(step, held);
    log.event("probe", { step, probe: name, ...numbers, ...(parts ? { parts } : {}) });
    for (const warning of warnings) {
      if (!said.has(warning)) warn(`step ${step}: ${warning}`);
      said.add(warning);
    }
  };
  return {
    name: `probe ${name}`,
    begin: (held) => look(0, hears ? held?.losses : undefined),
    due: (step) => step % every === 0,
    after: (step, held) => look(step, hears ? held?.losses : undefined),
    state: () => running.state?.() ?? null,
    load: (saved) => running.load?.(saved),
  };
}

/** Sets the probes of a run up. Throws UserError for what a probe cannot look at. */
export async function openProbes(
  context: ProbeContext,
  source: ReadRows,
  { model, tools, steps }: Pick<Built, "model" | "tools" | "steps">,
): Promise<Probing | undefined> {
  const { picks, options, seed } = context;
  const probes = picks.probe;
  if (probes.length === 0) return undefined;
  if (model.task === "regressor" || model.task === "embedder")
    throw new UserError(
      `--probe looks at models that foresee tokens or classes, and this ${model.architecture.name} is a ${model.task}`,
      "leave it out",
    );
  const { probe_every: every, probe_rows: rows, batch_size: atOnce } = options;
  const batches = firstRows(source, rows, atOnce, tools?.tokenizer?.pad ?? 0);
  const [eps] = picks.optimizer.flatMap(({ values }) => Object.entries(values).filter(([name]) => name === "eps"));
  const epsilon = typeof eps?.[1] === "number" ? eps[1] : undefined;
  const running: (readonly [string, RunningProbe])[] = [];
  for (const { method, values } of probes) {
    if (running.some(([name]) => name === method.name))
      throw new UserError(`--probe names ${method.name} twice`, "name it once");
    running.push([method.name, await method.begin({ model, batches, values, seed, steps, eps: epsilon })]);
  }
  const asked = running.flatMap(([, probe]) => (probe.ahead ? [probe.ahead] : []));
  return {
    controllers: running.map(([name, probe]) => follow(name, probe, context)),
    updates:
      asked.length === 0
        ? []
        : [
            {
              name: "probes",
              async ahead(step) {
                if (step % every === 0) for (const ahead of asked) await ahead();
              },
            },
          ],
    memory: { probes: running.reduce((sum, [, { bytes }]) => sum + bytes, 0) },
    free() {
      for (const [, probe] of running) probe.free();
    },
  };
}
