/**
 * How far apart two samples are, by the squared maximum mean discrepancy under several Gaussian kernels. Long et al.
 * 2015, Learning Transferable Features with Deep Adaptation Networks, https://arxiv.org/abs/1502.02791
 */
import type { Recorder } from "../recorder.ts";
import { showShape, type Tensor } from "../tensor.ts";
import { add, addScalar, div, exp, scale, square, stopGradient, sub } from "./elementwise.ts";
import { linear } from "./linear.ts";
import { dot, rowSum, sum } from "./reduce.ts";

/** Bandwidths in units of the mean squared distance: 1/4, 1/2, 1, 2, 4. */
const BANDWIDTHS = [1 / 4, 1 / 2, 1, 2, 4];

/** Against division by 0 where all rows are one. */
const EPS = 1e-12;

/**
 * x (2 n, C): n rows of one sample and then n of another -> (1):
 *
 *   mean_ij of K(s_i, s_j) + K(t_i, t_j) - 2 K(s_i, t_j)      K(a, b) = sum_k exp(-|a - b|^2 / (m b_k))
 *
 * m is the mean squared distance of all pairs of rows, to which no gradient goes. Throws RangeError for an odd number
 * of rows.
 */
export function meanDiscrepancy(rec: Recorder, x: Tensor): Tensor {
  const [rows = 0, , ...more] = x.shape;
  if (x.shape.length !== 2 || more.length > 0 || rows === 0 || rows % 2 !== 0)
    throw new RangeError(`two samples of one size are compared, not ${x.label} ${showShape(x.shape)}`);
  const n = rows / 2;
  const squares = rowSum(rec, square(rec, x));
  const both = add(rec, rec.reshape(squares, [rows, 1]), rec.reshape(squares, [1, rows]));
  const distances = sub(rec, both, linear(rec, x, x, { scale: 2 })); // (2 n, 2 n)
  const mean = addScalar(rec, scale(rec, sum(rec, stopGradient(rec, distances)), 1 / (rows * (rows - 1))), EPS);
  const inUnits = div(rec, distances, rec.reshape(mean, [1, 1]));
  const kernels = BANDWIDTHS.map((width) => exp(rec, scale(rec, inUnits, -1 / width))).reduce((a, b) => add(rec, a, b));
  const sign = (row: number) => (row < n ? 1 : -1);
  const weights = Float32Array.from(
    { length: rows * rows },
    (_, at) => (sign(Math.floor(at / rows)) * sign(at % rows)) / n ** 2,
  );
  return dot(rec, kernels, rec.constant(weights, [rows, rows], "same sample or not"));
}
