/**
 * Sorting within a recording, with the gradient of each value to its own place; of batches, so P x P numbers are few.
 */
import {
  abs,
  add,
  addScalar,
  clamp,
  isPositive,
  logSigmoid,
  mul,
  neg,
  scale,
  stopGradient,
  sub,
} from "../../tensor/ops/elementwise.ts";
import { rowSum } from "../../tensor/ops/reduce.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";

/** (P) -> (P), ascending; of equal values the first stays first. */
export function sorted(rec: Recorder, x: Tensor): Tensor {
  const p = x.shape[0]!;
  const held = stopGradient(rec, x);
  const [column, row] = [rec.reshape(held, [p, 1]), rec.reshape(held, [1, p])];
  const larger = isPositive(rec, sub(rec, column, row)); // (P, P): x_i > x_j
  const smaller = isPositive(rec, sub(rec, row, column));
  const equal = addScalar(rec, neg(rec, add(rec, larger, smaller)), 1);
  const later = Float32Array.from({ length: p * p }, (_, k) => Number(Math.floor(k / p) > k % p));
  const rank = rowSum(rec, add(rec, larger, mul(rec, equal, rec.constant(later, [p, p], "later places")))); // (P)
  const places = rec.constant(
    Float32Array.from({ length: p }, (_, r) => r),
    [p, 1],
    "places",
  );
  const distance = clamp(rec, abs(rec, sub(rec, places, rec.reshape(rank, [1, p]))), 0, 1);
  const chosen = addScalar(rec, neg(rec, distance), 1); // (P, P): row r has a 1 at the value of rank r
  return rowSum(rec, mul(rec, chosen, rec.reshape(x, [1, p])));
}

/**
 * Of P numbers each, the sorted first ones are to exceed the sorted second ones: -log sigmoid(beta difference),
 * smoothed by a share of differences that are taken to be the wrong way round. -> (P)
 */
export function sortedMarginLoss(
  rec: Recorder,
  first: Tensor,
  second: Tensor,
  { beta, smoothing }: { readonly beta: number; readonly smoothing: number },
): Tensor {
  const margin = scale(rec, sub(rec, sorted(rec, first), sorted(rec, second)), beta);
  const right = scale(rec, logSigmoid(rec, margin), smoothing - 1);
  return smoothing === 0 ? right : add(rec, right, scale(rec, logSigmoid(rec, neg(rec, margin)), -smoothing));
}
