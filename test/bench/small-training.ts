/** What benches train: the small Llama, by AdamW. */
import type { Gpu } from "../../src/gpu/gpu.ts";
import { bind } from "../../src/method/bind.ts";
import { Model } from "../../src/model/model.ts";
import { crossEntropyObjective } from "../../src/run/training/cross-entropy.ts";
import { Trainer } from "../../src/run/training/trainer.ts";
import { method as optimizer } from "../../src/train/methods/optimizers/adamw.ts";
import { SMALL_DECODER } from "./small-decoder.ts";

/** A fresh model and what trains it. */
export async function trainerOn(gpu: Gpu) {
  const model = await Model.fresh(gpu, SMALL_DECODER, "bench", { seed: 0 });
  const values = { beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.1 };
  const trainer = await Trainer.make({
    gpu,
    parameters: model.trainable(),
    objective: crossEntropyObjective(model),
    optimizer: bind(optimizer, values),
    decays: () => true,
    clip: 1,
    seed: 0,
  });
  return { model, trainer };
}
