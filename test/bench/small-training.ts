/** How benches train. */
import type { Gpu } from "../../src/gpu/gpu.ts";
import { bind } from "../../src/method/bind.ts";
import { Model } from "../../src/model/model.ts";
import { crossEntropyObjective } from "../../src/run/training/cross-entropy.ts";
import type { Objective } from "../../src/run/training/objective.ts";
import { Trainer } from "../../src/run/training/trainer.ts";
import { method as optimizer } from "../../src/train/methods/optimizers/adamw.ts";
import { SMALL_DECODER } from "./small-decoder.ts";

/** What trains a model by an objective: AdamW with the usual numbers, gradients clipped at 1. */
export const trainerOf = <Batch>(gpu: Gpu, model: Model, objective: Objective<Batch>): Promise<Trainer<Batch>> =>
  Trainer.make({
    gpu,
    parameters: model.trainable(),
    objective,
    optimizer: bind(optimizer, { beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.1 }),
    decays: () => true,
    clip: 1,
    seed: 0,
  });

/** The small Llama, fresh, and what trains it on tokens. */
export async function trainerOn(gpu: Gpu) {
  const model = await Model.fresh(gpu, SMALL_DECODER, "bench", { seed: 0 });
  return { model, trainer: await trainerOf(gpu, model, crossEntropyObjective(model)) };
}
