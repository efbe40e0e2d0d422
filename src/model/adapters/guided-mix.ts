/**
 * Vectors of several layers as one: each is weighed by what it says to that of the deepest layer, less the more it
 * repeats others. Diao et al., ECCV 2024, https://arxiv.org/abs/2407.07523, equations as in its code.
 *
 *   rho_i = sum over j of relu(cos(u_i, u_j))     r_i = relu(w . (u_i * g) + b) / rho_i     a_i = r_i / sum of r
 *   s = sum over i of a_i u_i + g
 */
import { relu } from "../../tensor/ops/activation.ts";
import { joinColumns } from "../../tensor/ops/columns.ts";
import { add, addScalar, div, mul, sqrt, sumTo } from "../../tensor/ops/elementwise.ts";
import { rowSum } from "../../tensor/ops/reduce.ts";
import { rowGram } from "../../tensor/ops/row-gram.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import { rowsOf, type Tensor } from "../../tensor/tensor.ts";

/** Below every length and sum that counts. */
const TINY = 1e-12;

/** Shallow vectors u_i and the guide g, (N, C) each, w (C) and b (1) -> s (N, C), and the weights a (N, M). */
export function guidedMix(
  rec: Recorder,
  shallow: readonly Tensor[],
  guide: Tensor,
  { w, bias }: { readonly w: Tensor; readonly bias: Tensor },
): { readonly mixed: Tensor; readonly weights: Tensor } {
  const { rows: n, width: c } = rowsOf(guide);
  const m = shallow.length;
  const all = rec.reshape(joinColumns(rec, shallow), [n, m, c]);
  const products = rowGram(rec, all); // (N, M, M)
  const squares = rec.reshape(sumSquares(rec, all), [n, m, 1]);
  const lengths = sqrt(rec, addScalar(rec, mul(rec, squares, rec.reshape(squares, [n, 1, m])), TINY));
  const repeated = rowSum(rec, relu(rec, div(rec, products, lengths))); // (N, M)
  const asked = rec.reshape(mul(rec, guide, rec.reshape(w, [1, c])), [n, 1, c]);
  const said = relu(rec, add(rec, rowSum(rec, mul(rec, all, asked)), rec.reshape(bias, [1, 1])));
  const relevance = div(rec, said, addScalar(rec, repeated, TINY));
  const whole = addScalar(rec, rec.reshape(rowSum(rec, relevance), [n, 1]), TINY);
  const weights = div(rec, relevance, whole);
  const parts = mul(rec, all, rec.reshape(weights, [n, m, 1]));
  const sum = rec.reshape(sumTo(rec, parts, [n, 1, c]), [n, c]);
  return { mixed: add(rec, sum, guide), weights };
}

const sumSquares = (rec: Recorder, x: Tensor): Tensor => rowSum(rec, mul(rec, x, x));
