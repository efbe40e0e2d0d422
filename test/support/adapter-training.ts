/** A few steps of training for tests of adapters. */
import type { Batch } from "../../src/data/batch.ts";
import { bindDefaults } from "../../src/method/bind.ts";
import type { Model } from "../../src/model/model.ts";
import { crossEntropyObjective } from "../../src/run/training/cross-entropy.ts";
import { Trainer } from "../../src/run/training/trainer.ts";
import { method as adamw } from "../../src/train/methods/optimizers/adamw.ts";

/** Metrics of every step of AdamW on these batches in turn, without weight decay. */
export async function trainOn(
  model: Model,
  batches: readonly Batch[],
  {
    steps,
    lr,
    clip = 0,
    micro = 1,
    parts,
    only = () => true,
  }: {
    readonly steps: number;
    readonly lr: number;
    readonly clip?: number;
    /** Micro-batches of a step, all the same. */
    readonly micro?: number;
    /** Parts of the objective, each the cross-entropy of all rows. */
    readonly parts?: readonly string[];
    readonly only?: (name: string) => boolean;
  },
): Promise<Readonly<Record<string, number>>[]> {
  const trainer = await Trainer.make({
    gpu: model.gpu,
    parameters: model.trainable().filter(({ name }) => only(name)),
    objective: { ...crossEntropyObjective(model), ...(parts ? { parts } : {}) },
    seed: 1,
    optimizer: bindDefaults(adamw, { weight_decay: 0 }),
    decays: () => false,
    clip,
  });
  const found: Readonly<Record<string, number>>[] = [];
  for (let step = 1; step <= steps; step++) {
    const { result } = await trainer.step(
      step,
      lr,
      new Array<Batch>(micro).fill(batches[(step - 1) % batches.length]!),
    );
    found.push((await result).metrics);
  }
  trainer.free();
  return found;
}

/** Mean loss of a language model's logits, (N, V), over the tokens of a batch that has one row's length for all. */
export function meanLoss(logits: Float32Array, rows: readonly Int32Array[]): number {
  const length = rows[0]!.length;
  const width = logits.length / (rows.length * length);
  let [sum, count] = [0, 0];
  for (const [row, ids] of rows.entries())
    for (let i = 0; i + 1 < length; i++, count++) {
      const own = logits.subarray((row * length + i) * width, (row * length + i + 1) * width);
      const most = own.reduce((a, x) => Math.max(a, x), Number.NEGATIVE_INFINITY);
      const total = own.reduce((a, x) => a + Math.exp(x - most), 0);
      sum += Math.log(total) + most - own[ids[i + 1]!]!;
    }
  return sum / count;
}
