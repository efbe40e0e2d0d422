/**
 * Datamodels: what a model says of an input as a linear function of which blocks of rows it was trained on, fitted on
 * models of random subsets. Ilyas et al., ICML 2022, https://arxiv.org/abs/2202.00622
 */

import { permutation } from "../../data/shuffle.ts";
import { choleskyFactor, solveLower, solveUpper } from "../../tensor/linear-algebra/cholesky.ts";

/** Which of `blocks` blocks model `model` is trained on: a share of them, drawn by seed. */
export function drawnBlocks(blocks: number, share: number, seed: number, model: number): Uint8Array {
  const count = Math.max(1, Math.min(blocks - 1, Math.round(share * blocks)));
  const chosen = permutation(blocks, seed, model, "datamodel").subarray(0, count);
  const taken = new Uint8Array(blocks);
  for (const block of chosen) taken[block] = 1;
  return taken;
}

/** Number of the block of every row: `size` rows next to each other in one group. */
export function blocksOf(groups: readonly number[], size: number): { readonly of: Int32Array; readonly count: number } {
  const of = new Int32Array(groups.length);
  let [block, held] = [-1, 0];
  for (const [row, group] of groups.entries()) {
    if (row === 0 || group !== groups[row - 1] || held === size) [block, held] = [block + 1, 0];
    of[row] = block;
    held++;
  }
  return { of, count: block + 1 };
}

/**
 * Ridge regression of outputs (K, P) on inclusion (K, B) with an intercept that is not shrunk: weights (B, P). In its
 * dual form, A^T (A A^T + lambda I)^-1 Y of centred A and Y, in f64: K^3 / 6 + K^2 P multiplications.
 */
export function inclusionWeights(
  inclusion: readonly Uint8Array[],
  outputs: readonly Float32Array[],
  lambda: number,
): Float64Array {
  const [models, blocks, points] = [inclusion.length, inclusion[0]!.length, outputs[0]!.length];
  const mean = (list: readonly ArrayLike<number>[], at: number) => {
    let sum = 0;
    for (const values of list) sum += values[at]!;
    return sum / models;
  };
  const centre = Float64Array.from({ length: blocks }, (_, b) => mean(inclusion, b));
  const level = Float64Array.from({ length: points }, (_, p) => mean(outputs, p));
  const a = inclusion.map((taken) => Float64Array.from(taken, (one, b) => one - centre[b]!));
  const gram = new Float64Array(models * models);
  for (let i = 0; i < models; i++)
    for (let j = 0; j <= i; j++) {
      let sum = i === j ? lambda : 0;
      for (let b = 0; b < blocks; b++) sum += a[i]![b]! * a[j]![b]!;
      gram[i * models + j] = sum;
      gram[j * models + i] = sum;
    }
  const l = choleskyFactor(gram, models);
  if (!l) throw new RangeError(`a penalty of ${lambda} is too small for ${models} models`);
  const weights = new Float64Array(blocks * points);
  for (let p = 0; p < points; p++) {
    const y = outputs.map((values) => values[p]! - level[p]!);
    const dual = solveUpper(l, solveLower(l, y, models), models);
    for (let b = 0; b < blocks; b++) {
      let sum = 0;
      for (let i = 0; i < models; i++) sum += a[i]![b]! * dual[i]!;
      weights[b * points + p] = sum;
    }
  }
  return weights;
}
