/** Runs the objective of distillation on one batch: what it reports, and every gradient. */
import { type DistillBatch, type DistillSetup, distillObjective } from "../../src/distill/objective.ts";
import type { Parameter } from "../../src/tensor/parameter.ts";
import { Program, profileOf } from "../../src/tensor/program.ts";
import { Recorder } from "../../src/tensor/recorder.ts";
import { settingsOf } from "./rows.ts";

export interface ObjectiveRun extends Partial<Pick<DistillSetup, "extra" | "weights" | "online" | "recompute">> {
  readonly model: DistillSetup["model"];
  readonly method: DistillSetup["method"];
  readonly teachers: DistillSetup["teachers"];
  readonly settings?: Readonly<Record<string, unknown>>;
  /** Numbers that change from step to step. */
  readonly values?: Readonly<Record<string, number>>;
}

/** Metrics of a batch, and the gradients of all that learns, one after the other. */
export async function lossOf(
  run: ObjectiveRun,
  batch: DistillBatch,
  learns: readonly Parameter[] = run.model.trainable(),
): Promise<{ metrics: Record<string, number>; gradients: Float32Array }> {
  const { gpu } = run.model;
  const objective = distillObjective({
    extra: new Map(),
    weights: { distill: run.method.weights?.distill ?? 1, labels: run.method.weights?.labels ?? 0 },
    ...run,
    values: settingsOf(run.method.options, run.settings),
  });
  const rec = new Recorder(profileOf(gpu));
  const { backward, metrics } = objective.record(rec, batch, "");
  for (const [name, value] of Object.entries(metrics)) rec.output(name, value);
  rec.backward(backward);
  const program = await Program.compile(gpu, rec);
  try {
    for (const parameter of learns) gpu.clear(parameter.gradient, Math.max(16, 4 * parameter.size));
    objective.fill(program, batch, objective.counted(batch, ""), "");
    program.run({ accumulate: 0, seed: 1, ...run.values });
    const read: Record<string, number> = {};
    for (const name of Object.keys(metrics)) read[name] = (await program.read(name))[0]!;
    const parts: number[] = [];
    for (const { gradient, size } of learns) parts.push(...(await gpu.readFloats(gradient, size)));
    return { metrics: read, gradients: Float32Array.from(parts) };
  } finally {
    program.free();
  }
}
