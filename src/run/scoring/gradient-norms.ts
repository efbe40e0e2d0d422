/** How strongly each row by itself pulls at the weights. Memory besides the model: a gradient and a velocity of every weight. */
import { collate } from "../../data/batch.ts";
import { countedTokens } from "../../data/dataset.ts";
import type { Sequence } from "../../data/sequences.ts";
import { mean } from "../../evaluate/contract.ts";
import type { Model } from "../../model/model.ts";
import { method as optimizer } from "../../train/methods/optimizers/sgd.ts";
import { crossEntropyObjective } from "../training/cross-entropy.ts";
import { Trainer } from "../training/trainer.ts";

/** Per sequence: the mean over trained tensors of the 2-norm of the gradient of its mean loss; NaN where no token counts. */
export async function gradientNorms(
  model: Model,
  sequences: readonly Sequence[],
  pad: number,
  signal: AbortSignal,
): Promise<number[]> {
  const trainer = await Trainer.make({
    gpu: model.gpu,
    parameters: model.trainable(),
    objective: crossEntropyObjective(model),
    seed: 0,
    optimizer,
    values: { momentum: 0, nesterov: false, weight_decay: 0 },
    decays: () => false,
    clip: 0,
  });
  const norms: number[] = [];
  try {
    for (const sequence of sequences) {
      signal.throwIfAborted();
      if (countedTokens(sequence) === 0) {
        norms.push(Number.NaN);
        continue;
      }
      // A rate of 0 leaves the weights as they are.
      const found = await trainer.largestGradients(1, [collate([[sequence]], { pad })], Number.POSITIVE_INFINITY);
      norms.push(mean(found.map(({ norm }) => norm)));
    }
  } finally {
    trainer.free();
  }
  return norms;
}
