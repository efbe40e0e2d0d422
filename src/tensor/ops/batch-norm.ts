/**
 * Batch normalization (Ioffe and Szegedy, ICML 2015, https://arxiv.org/abs/1502.03167) over rows, with statistics of
 * weighted rows, and running ones that follow them. AdaB2N (Lyu et al., NeurIPS 2023,
 * https://arxiv.org/abs/2310.08855) weighs rows by their task and lets the momentum fall.
 */
import { spanGroups } from "../../gpu/grid.ts";
import type { Recorder } from "../recorder.ts";
import { sizeOf, type Tensor } from "../tensor.ts";
import { add, addScalar, clamp, div, exp, mul, sqrt, square, sub, sumTo } from "./elementwise.ts";
import { mean, rowSum } from "./reduce.ts";

/** Mean and variance of every column, (1, C) each. */
export interface Statistics {
  readonly mean: Tensor;
  readonly variance: Tensor;
}

/** Of rows x (N, C) with weights (N, 1) that sum to 1; the variance is that of the rows, not an estimate. */
export function statisticsOf(rec: Recorder, x: Tensor, weights: Tensor): Statistics {
  const columns = [1, x.shape[1] ?? 0];
  const mean = sumTo(rec, mul(rec, x, weights), columns);
  return { mean, variance: sumTo(rec, mul(rec, square(rec, sub(rec, x, mean)), weights), columns) };
}

/** What rows are multiplied by, gain / sqrt(variance + eps): (1, C). */
export const normScale = (
  rec: Recorder,
  variance: Tensor,
  { gain, eps }: { readonly gain: Tensor; readonly eps: number },
): Tensor => div(rec, rec.reshape(gain, variance.shape), sqrt(rec, addScalar(rec, variance, eps)));

/** (x - mean) / sqrt(variance + eps) * gain + bias; gain and bias are (C). */
export function normalized(
  rec: Recorder,
  x: Tensor,
  { mean, variance }: Statistics,
  { bias, ...affine }: { readonly gain: Tensor; readonly bias: Tensor; readonly eps: number },
): Tensor {
  const scale = normScale(rec, variance, affine);
  return add(rec, mul(rec, sub(rec, x, mean), scale), rec.reshape(bias, [1, x.shape[1] ?? 0]));
}

/** Equal weights of N rows, (N, 1). */
export const equalWeights = (rec: Recorder, n: number): Tensor =>
  rec.constant(new Float32Array(n).fill(1 / n), [n, 1], "weights of rows");

/**
 * Weights of rows by their task: a task of n rows has the share (exp(psi) + n) / sum of it over the tasks that have
 * rows, which its rows divide evenly. tasks (N, T) is 1 at the task of each row, psi (T) -> (N, 1).
 */
export function taskWeights(rec: Recorder, tasks: Tensor, psi: Tensor): Tensor {
  const [n = 0, count = 0] = tasks.shape;
  const rows = sumTo(rec, tasks, [1, count]);
  const present = clamp(rec, rows, 0, 1);
  const own = mul(rec, add(rec, exp(rec, rec.reshape(psi, [1, count])), rows), present);
  const shares = div(rec, own, sumTo(rec, own, [1, 1]));
  const each = div(rec, shares, clamp(rec, rows, 1, n)); // (1, T)
  return rec.reshape(rowSum(rec, mul(rec, tasks, each)), [n, 1]);
}

/** Mean squared distance of means plus that of variances, (1). */
export const statisticsGap = (rec: Recorder, own: Statistics, running: Statistics): Tensor =>
  add(
    rec,
    mean(rec, square(rec, sub(rec, own.mean, running.mean))),
    mean(rec, square(rec, sub(rec, own.variance, running.variance))),
  );

/**
 * Lets a running value follow another of its shape, in place and at every run: running += momentum (scale x - running).
 */
export function follow(rec: Recorder, x: Tensor, running: Tensor, momentum: Tensor, scale = 1): void {
  rec.step({
    kernel: "norm/follow",
    bind: { x, momentum, running },
    params: { n: sizeOf(x.shape), scale },
    groups: spanGroups(sizeOf(x.shape)),
  });
}

/**
 * Lets running statistics follow those of a batch of `rows` rows, in place and at every run: running += momentum (own -
 * running). As in PyTorch the running variance is an estimate, rows / (rows - 1) of the batch's.
 */
export function followStatistics(
  rec: Recorder,
  own: Statistics,
  running: Statistics,
  { momentum, rows }: { readonly momentum: Tensor; readonly rows: number },
): void {
  follow(rec, own.mean, running.mean, momentum);
  follow(rec, own.variance, running.variance, momentum, rows / (rows - 1));
}

/**
 * The next momentum, in place and at every run: eta^kappa of the first batch, then m / (m + (1 - eta)^kappa). With
 * kappa 1 it is always eta, with 0 one over the count of batches. `momentum` (1) is 0 before the first batch.
 */
export function nextMomentum(
  rec: Recorder,
  momentum: Tensor,
  { eta, kappa }: { readonly eta: number; readonly kappa: number },
): void {
  rec.step({
    kernel: "norm/next-momentum",
    bind: { momentum },
    params: { first: eta ** kappa, keep: (1 - eta) ** kappa },
    groups: [1],
  });
}
