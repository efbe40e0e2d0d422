/** Runs the objective of distillation on one batch: what it reports, and every gradient. */
import type { Batch } from "../../src/data/batch.ts";
import type { DistillMethod } from "../../src/distill/contract.ts";
import { type DistillSetup, distillObjective } from "../../src/distill/objective.ts";
import { bindDefaults } from "../../src/method/bind.ts";
import type { Parameter } from "../../src/tensor/parameter.ts";
import { Program, profileOf } from "../../src/tensor/program.ts";
import { Recorder } from "../../src/tensor/recorder.ts";
import { partsOf, weightsOf } from "./parts.ts";

export interface ObjectiveRun extends Partial<Pick<DistillSetup, "extra" | "weights" | "recompute" | "mixing">> {
  readonly model: DistillSetup["model"];
  readonly method: DistillMethod;
  readonly teachers: DistillSetup["teachers"];
  readonly settings?: Readonly<Record<string, unknown>>;
  /** Numbers that change from step to step. */
  readonly values?: Readonly<Record<string, number>>;
}

/** Metrics of micro-batches, and the gradients of all that learns, one after the other. */
export async function lossOf(
  { method, settings, values, ...run }: ObjectiveRun,
  batches: Batch | readonly Batch[],
  learns: readonly Parameter[] = run.model.trainable(),
): Promise<{ metrics: Record<string, number>; gradients: Float32Array }> {
  const { gpu } = run.model;
  const chosen = bindDefaults(method, settings);
  const weights = run.weights ?? weightsOf(method);
  const parts = partsOf(chosen, weights);
  const objective = distillObjective({ extra: new Map(), ...run, chosen, weights, parts });
  const list: readonly Batch[] = "rows" in batches ? [batches] : batches;
  const total = list.reduce((sum, batch) => sum + objective.counted(batch, ""), 0);
  for (const parameter of learns) gpu.clear(parameter.gradient, Math.max(16, 4 * parameter.size));
  const read: Record<string, number> = {};
  for (const [i, batch] of list.entries()) {
    for (const teacher of run.teachers) await teacher.prepare?.(batch);
    const rec = new Recorder(profileOf(gpu));
    const { backward, metrics } = objective.record(rec, batch, "");
    for (const [name, value] of Object.entries(metrics)) rec.output(name, value);
    rec.backward(backward);
    const program = await Program.compile(gpu, rec);
    try {
      objective.fill(program, batch, total, "");
      program.run({ accumulate: i === 0 ? 0 : 1, seed: 1, ...values });
      for (const name of Object.keys(metrics)) read[name] = (read[name] ?? 0) + (await program.read(name))[0]!;
    } finally {
      program.free();
    }
  }
  const gradients: number[] = [];
  for (const { gradient, size } of learns) gradients.push(...(await gpu.readFloats(gradient, size)));
  return { metrics: read, gradients: Float32Array.from(gradients) };
}
