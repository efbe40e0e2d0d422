/**
 * Keeps what an adapter adds to where it should act: elsewhere its part of every layer is driven to 0. Yu et al. 2024,
 * FaceChain-FACT, https://arxiv.org/abs/2410.12312
 *
 *   L = weight sum over layers of mean over masked tokens and channels of (W' x - W x)^2
 *
 * W' is the layer with the adapter, of any type; x is what both read in the same pass. Masked are the tokens of
 * prompts, and all tokens of groups that are named. Linear layers count; embeddings and experts do not.
 */
import { type Batch, isTokens } from "../../data/batch.ts";
import { targetsOf } from "../../data/targets.ts";
import { UserError } from "../../errors.ts";
import type { Recorded } from "../../model/model.ts";
import { add, square } from "../../tensor/ops/elementwise.ts";
import { rowSum } from "../../tensor/ops/reduce.ts";
import type { Program } from "../../tensor/program.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";

export interface IncrementMask {
  /** Squares of each token, (N), and what they are weighed by. Throws TypeError for examples. */
  record(rec: Recorder, batch: Batch, recorded: Recorded): readonly [squares: Tensor, weights: Tensor];
  /** `share`: what the batch counts of the step. */
  fill(program: Program, batch: Batch, share: number): void;
}

/** 1 where the adapter is to add nothing: prompts, and all of some groups; 0 for answers and for padding. */
export function maskedTokens(batch: Batch, groups: ReadonlySet<number>): Float32Array {
  if (!isTokens(batch)) throw new TypeError("examples have no tokens to mask");
  const { length, labels, segments } = batch;
  const targets = targetsOf(batch);
  const masked = Float32Array.from(segments, (segment, i) =>
    segment > 0 && labels[i]! < 0 && targets[i]! < 0 ? 1 : 0,
  );
  for (const { sequence, row, start } of batch.documents)
    if (groups.has(sequence.group)) masked.fill(1, row * length + start, row * length + start + sequence.ids.length);
  return masked;
}

/** `groups` are those of the data, by their place. */
export const incrementMask = (weight: number, groups: ReadonlySet<number> = new Set()): IncrementMask => ({
  record(rec, { rows, length }, { increments }) {
    const squares = [...increments.values()].map((delta) => rowSum(rec, square(rec, delta), 1 / delta.shape.at(-1)!));
    if (squares.length === 0)
      throw new UserError(
        "--increment-mask masks what an adapter adds to linear layers, and this one adds to none",
        "leave it out",
      );
    const all = squares.reduce((a, b) => add(rec, a, b));
    return [rec.reshape(all, [rows * length]), rec.input("increment weights", [rows * length])];
  },
  fill(program, batch, share) {
    const masked = maskedTokens(batch, groups);
    const count = masked.reduce((a, b) => a + b, 0);
    program.write(
      "increment weights",
      masked.map((is) => (is === 0 ? 0 : (weight * share) / count)),
    );
  },
});
