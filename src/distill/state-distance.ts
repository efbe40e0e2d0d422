/** Distances of hidden states, row by row. */
import { addScalar, clamp, div, mul, neg, sqrt, square, sub } from "../tensor/ops/elementwise.ts";
import { rowSum } from "../tensor/ops/reduce.ts";
import type { Recorder } from "../tensor/recorder.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** |x - y|^2 / d of every row: (N, d) each -> (N). */
export const meanSquare = (rec: Recorder, x: Tensor, y: Tensor): Tensor =>
  rowSum(rec, square(rec, sub(rec, x, y)), 1 / x.shape.at(-1)!);

/** 1 - cos(x, y) of every row, 1 where one of them is zero: (N, d) each -> (N). */
export function cosineDistance(rec: Recorder, x: Tensor, y: Tensor): Tensor {
  const norms = mul(rec, rowSum(rec, square(rec, x)), rowSum(rec, square(rec, y)));
  const cosine = div(rec, rowSum(rec, mul(rec, x, y)), sqrt(rec, clamp(rec, norms, 1e-24, 3e38)));
  return addScalar(rec, neg(rec, cosine), 1);
}

/**
 * sqrt(|x - y|^2 + c^2) - c of every row, c = 0.00054 sqrt(d): (N, d) each -> (N). |x - y| but for rows that are almost
 * alike, so that a few far ones count less. Song and Dhariwal, ICLR 2024, https://arxiv.org/abs/2310.14189
 */
export function pseudoHuber(rec: Recorder, x: Tensor, y: Tensor): Tensor {
  const c = 0.00054 * Math.sqrt(x.shape.at(-1)!);
  const squares = rowSum(rec, square(rec, sub(rec, x, y)));
  return addScalar(rec, sqrt(rec, addScalar(rec, squares, c * c)), -c);
}
