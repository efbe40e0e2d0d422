/** Steps of training on tiny mixtures of experts, and what their routers chose, read back. */
import { type Batch, collate } from "../../../../src/data/batch.ts";
import { bindDefaults } from "../../../../src/method/bind.ts";
import type { Json } from "../../../../src/model/architecture.ts";
import { Model } from "../../../../src/model/model.ts";
import { fillInputs, recordInputs } from "../../../../src/run/batch-programs.ts";
import { crossEntropyObjective } from "../../../../src/run/training/cross-entropy.ts";
import { type ExpertOptions, expertTraining } from "../../../../src/run/training/experts/expert-training.ts";
import { Trainer } from "../../../../src/run/training/trainer.ts";
import { Program, profileOf } from "../../../../src/tensor/program.ts";
import { Recorder } from "../../../../src/tensor/recorder.ts";
import { method as adamw } from "../../../../src/train/methods/optimizers/adamw.ts";
import { sharedGpu } from "../../../support/gpu.ts";
import { TINY_DECODERS, TINY_EXPERTS, TINY_TEXT } from "../../../support/tiny-models.ts";

const gpu = await sharedGpu();

export const mixture = (name: string, more: object = {}): Json => ({
  ...((TINY_EXPERTS[name] ?? TINY_DECODERS[name] ?? TINY_TEXT[name]) as object),
  ...more,
});

/** Rows of tokens; the shorter ones are padded. */
export const batchOf = (...rows: readonly (readonly number[])[]): Batch =>
  collate(
    rows.map((ids) => [{ ids: Int32Array.from(ids), labels: Int32Array.from(ids), group: 0, place: "x" }]),
    { buckets: "none" },
  );

/** Two rows, of six tokens and of three. */
export const ROWS = batchOf([1, 5, 7, 2, 9, 49], [4, 8, 15]);
export const OTHERS = batchOf([30, 31, 32, 33], [11, 12]);

export interface LayerChoice {
  readonly logits: Float64Array;
  /** (N, k) */
  readonly experts: Uint32Array;
  readonly sigmoid: boolean;
}

/** What the routers of a model say and choose for a batch, by layer. */
export async function choicesFor(model: Model, batch: Batch): Promise<Map<number, LayerChoice>> {
  const rec = new Recorder(profileOf(gpu), { training: false });
  const { routed, hidden } = model.record(rec, recordInputs(rec, batch));
  rec.output("hidden", hidden);
  for (const [layer, { logits, expertOf }] of routed) {
    rec.output(`logits ${layer}`, logits);
    rec.output(`experts ${layer}`, expertOf);
  }
  const program = await Program.compile(gpu, rec);
  fillInputs(program, batch);
  program.run();
  const found = new Map<number, LayerChoice>();
  for (const [layer, { scoring }] of routed) {
    const experts = new Uint32Array((await program.read(`experts ${layer}`)).slice().buffer);
    const logits = Float64Array.from(await program.read(`logits ${layer}`));
    found.set(layer, { logits, experts, sigmoid: scoring === "sigmoid" });
  }
  program.free();
  return found;
}

/** The load of every expert, and its mean probability, of a batch's tokens that are no padding. */
export function loadsOf(batch: Batch, { logits, experts, sigmoid }: LayerChoice, rows = [...batch.tasks.keys()]) {
  if (!("lengths" in batch)) throw new TypeError("rows of tokens");
  const n = batch.rows * batch.length;
  const [e, k] = [logits.length / n, experts.length / n];
  const counts = new Float64Array(e);
  const likely = new Float64Array(e);
  let tokens = 0;
  for (const row of rows)
    for (let t = 0; t < batch.lengths[row]!; t++) {
      const i = row * batch.length + t;
      tokens++;
      for (let slot = 0; slot < k; slot++) counts[experts[i * k + slot]!]!++;
      const own = logits.subarray(i * e, i * e + e).map((x) => (sigmoid ? 1 / (1 + Math.exp(-x)) : Math.exp(x)));
      const whole = own.reduce((a, b) => a + b);
      for (const [j, x] of own.entries()) likely[j]! += x / whole;
    }
  return { counts, likely: likely.map((x) => x / tokens), tokens };
}

/** E sum of f p. */
export function balanceOf(counts: Float64Array, likely: Float64Array): number {
  const whole = counts.reduce((a, b) => a + b);
  return counts.length * counts.reduce((sum, count, i) => sum + (count / whole) * likely[i]!, 0);
}

/** A model and what trains it; `step` runs one step of micro-batches and gives its metrics. */
export async function training(
  json: Json,
  options: ExpertOptions,
  { steps = 10, recompute = false, lr = 0 }: { steps?: number; recompute?: boolean; lr?: number } = {},
) {
  const model = await Model.fresh(gpu, json, "moe", { seed: 3 });
  const experts = expertTraining(model, options, steps);
  const trainer = await Trainer.make({
    ...{ gpu, experts, seed: 0, clip: 0, decays: () => false },
    parameters: model.trainable(),
    objective: crossEntropyObjective(model, { recompute }),
    updates: experts ? [experts] : [],
    optimizer: bindDefaults(adamw),
  });
  return {
    model,
    async step(step: number, batches: readonly Batch[]) {
      const { result } = await trainer.step(step, lr, batches);
      return (await result).metrics;
    },
    free() {
      trainer.free();
      model.free();
    },
  };
}
