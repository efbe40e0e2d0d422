/**
 * How strongly each row by itself pulls at the weights. Memory besides the model: a gradient and a velocity of every
 * weight.
 */

import { collate } from "../../data/batch.ts";
import { countedTokens } from "../../data/dataset.ts";
import type { Sequence } from "../../data/sequences.ts";
import { bindDefaults } from "../../method/bind.ts";
import { loadMethod } from "../../method/registry.ts";
import type { Model } from "../../model/model.ts";
import { crossEntropyObjective } from "../training/cross-entropy.ts";
import { Trainer } from "../training/trainer.ts";

/**
 * Per sequence: the mean over trained tensors of the 2-norm of the gradient of its mean loss; NaN where no token
 * counts. `done` hears of every sequence.
 */
export async function gradientNorms(
  model: Model,
  sequences: readonly Sequence[],
  pad: number,
  signal: AbortSignal,
  done?: (rows: number) => void,
): Promise<number[]> {
  const trainer = await Trainer.make({
    gpu: model.gpu,
    parameters: model.trainable(),
    objective: crossEntropyObjective(model),
    seed: 0,
    optimizer: bindDefaults(await loadMethod("optimizer", "sgd"), { momentum: 0 }),
    decays: () => false,
    clip: 0,
  });
  const norms: number[] = [];
  try {
    for (const sequence of sequences) {
      signal.throwIfAborted();
      done?.(1);
      if (countedTokens(sequence) === 0) {
        norms.push(Number.NaN);
        continue;
      }
      // A rate of 0 leaves the weights as they are.
      const found = await trainer.largestGradients(1, [collate([[sequence]], { pad })], Number.POSITIVE_INFINITY);
      norms.push(found.reduce((sum, { norm }) => sum + norm, 0) / found.length);
    }
  } finally {
    trainer.free();
  }
  return norms;
}
