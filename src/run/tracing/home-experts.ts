/**
 * What the experts and gates of a hierarchy for several tasks (mlp-home) do on rows: values of experts, and weights of
 * the gate of each row's own task. Read-back: (rows, experts x width) a batch.
 */
import type { Batch } from "../../data/batch.ts";
import { UserError } from "../../errors.ts";
import { groupsOf, type MlpHomeConfig, method, taskMixture } from "../../model/architectures/mlp-home.ts";
import type { Model } from "../../model/model.ts";
import { fillInputs, recordInputs } from "../batch-programs.ts";
import { Programs } from "../programs.ts";

/** The values of one expert on all rows. */
export interface ExpertValues {
  readonly expert: string;
  readonly mean: number;
  readonly std: number;
  /** Share of the values that are 0, or as good as that: below 1e-6 of the largest. */
  readonly silent: number;
}

/** The weights that one task's gate gives to its experts, in the mean over the task's rows. */
export interface TaskGate {
  readonly task: number;
  readonly rows: number;
  readonly weights: readonly { readonly expert: string; readonly weight: number }[];
}

export interface HomeView {
  readonly experts: readonly ExpertValues[];
  readonly gates: readonly TaskGate[];
}

/** The config of a model. Throws UserError of another than an mlp-home. */
export function homeConfig(model: Model, ref: string): MlpHomeConfig {
  if (model.architecture.name !== method.name)
    throw new UserError(
      `${ref} is a ${model.architecture.name}, and the probe looks at experts of several tasks`,
      'begin with "model_type": "mlp-home" in config.json',
    );
  return method.config(model.json, ref);
}

interface Sums {
  count: number;
  sum: number;
  squares: number;
  small: number;
}

/** Looks at all rows of all batches. Throws UserError as `homeConfig` does. */
export async function viewHome(model: Model, ref: string, batches: readonly Batch[]): Promise<HomeView> {
  const c = homeConfig(model, ref);
  const modules = groupsOf(c).flatMap(({ name }) => Array.from({ length: c.each }, (_, e) => `${name}.${e}`));
  const tasks = Array.from({ length: c.tasks }, (_, task) => taskMixture(c, task));
  const programs = new Programs(model.gpu);
  const sums = new Map<string, Sums>(modules.map((name) => [name, { count: 0, sum: 0, squares: 0, small: 0 }]));
  const weights = tasks.map(({ groups }) => new Float64Array(c.each * groups.length));
  const rows = new Float64Array(c.tasks);
  try {
    for (const batch of batches) {
      const { program } = await programs.get(`${batch.rows}`, (rec) => {
        const { hidden, notes } = model.record(rec, recordInputs(rec, batch));
        rec.output("answers", hidden);
        for (const name of modules) rec.output(name, notes.get(`expert.${name}`)!);
        for (const { gate } of tasks) rec.output(gate, notes.get(`weights.${gate}`)!);
      });
      fillInputs(program, batch);
      program.run();
      for (const name of modules) addValues(sums.get(name)!, await program.read(name));
      for (const [task, { gate }] of tasks.entries()) {
        const found = await program.read(gate);
        const own = weights[task]!;
        for (const [row, at] of batch.tasks.entries())
          if (at === task) for (let e = 0; e < own.length; e++) own[e]! += found[row * own.length + e]!;
      }
      for (const task of batch.tasks) rows[task]!++;
    }
  } finally {
    programs.free();
  }
  return {
    experts: modules.map((expert) => ({ expert, ...figuresOf(sums.get(expert)!) })),
    gates: tasks.map(({ groups }, task) => ({
      task,
      rows: rows[task]!,
      weights: groups
        .flatMap(({ name }) => Array.from({ length: c.each }, (_, e) => `${name}.${e}`))
        .map((expert, e) => ({ expert, weight: rows[task] === 0 ? 0 : weights[task]![e]! / rows[task]! })),
    })),
  };
}

function addValues(sums: Sums, values: Float32Array): void {
  const most = values.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
  for (const value of values) {
    sums.count++;
    sums.sum += value;
    sums.squares += value * value;
    if (Math.abs(value) <= 1e-6 * most) sums.small++;
  }
}

function figuresOf({ count, sum, squares, small }: Sums): Omit<ExpertValues, "expert"> {
  const mean = sum / count;
  return { mean, std: Math.sqrt(Math.max(0, squares / count - mean * mean)), silent: small / count };
}
