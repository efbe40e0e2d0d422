/**
 * ALLoRA's rates: the rows of B A learn the faster the shorter they are.
 *
 *   g_i = 1 / sqrt(||(B A)_i|| + 1 / eta^2),  ||(B A)_i||^2 = B_i (A A') B_i'
 *
 * https://arxiv.org/abs/2410.09692
 */
import { abs, addScalar, exp, log, mul, scale, sqrt, stopGradient } from "../../../tensor/ops/elementwise.ts";
import { linear } from "../../../tensor/ops/linear.ts";
import { rowSum } from "../../../tensor/ops/reduce.ts";
import type { Recorder } from "../../../tensor/recorder.ts";
import type { Tensor } from "../../../tensor/tensor.ts";

export interface RowRates {
  readonly eta: number;
  /** What g multiplies: the gradient that reaches a row of the low-rank branch, or the step of a row of B. */
  readonly apply: "grad" | "lr";
}

/** g (out) of A (r, in) and B (out, r). No gradient goes through. */
export function rowRates(rec: Recorder, a: Tensor, b: Tensor, eta: number): Tensor {
  const [inner, outer] = [stopGradient(rec, a), stopGradient(rec, b)];
  const gram = linear(rec, inner, inner); // (r, r)
  const squares = rowSum(rec, mul(rec, linear(rec, outer, gram), outer)); // (out)
  const lengths = sqrt(rec, abs(rec, squares)); // rounding may leave a zero below it
  return exp(rec, scale(rec, log(rec, addScalar(rec, lengths, 1 / eta ** 2)), -0.5));
}
