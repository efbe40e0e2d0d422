/** How much each rank of a low-rank change counts for an input, by its own activation. */
import { add, addScalar, clamp, div, mul, scale, sqrt, square, stopGradient } from "../../tensor/ops/elementwise.ts";
import { rowSum } from "../../tensor/ops/reduce.ts";
import { chosenExperts } from "../../tensor/ops/router.ts";
import { softmax } from "../../tensor/ops/softmax.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import { rowsOf, type Tensor } from "../../tensor/tensor.ts";

export interface RankChoice {
  /** Most ranks that count. */
  readonly active: number;
  readonly temperature: number;
  /** Ranks of a smaller share of the activation do not count; -1: all do. */
  readonly threshold: number;
  /** (R): ranks of 0 are not there; all are when left out. */
  readonly tag?: Tensor;
}

/** Below this an activation's length is no longer a direction. */
const SHORTEST = 1e-6;

/** What takes a share out of a softmax. */
const FAR = 1e6;

/** Turns any difference of two shares into one beyond 1. */
const STEEP = 1e30;

/** How much every rank counts. Activations (N, R) -> (N, R), each row of a sum of at most 1; `active` is k. */
export function rankWeights(
  rec: Recorder,
  activations: Tensor,
  { active, temperature, threshold, tag }: RankChoice,
): Tensor {
  const { rows, width } = rowsOf(activations);
  const live = tag && clamp(rec, tag, 0, 1); // (R)
  const known = live ? mul(rec, activations, live) : activations;
  const squares = addScalar(rec, rowSum(rec, square(rec, known)), SHORTEST ** 2);
  const shares = div(rec, known, rec.reshape(sqrt(rec, squares), [rows, 1])); // (N, R)
  const shown = live ? add(rec, shares, scale(rec, addScalar(rec, live, -1), FAR)) : shares;
  let weights = softmax(rec, shown, temperature);
  if (live) weights = mul(rec, weights, live);
  const fixed = stopGradient(rec, shown);
  if (active < width) {
    const ones = rec.constant(new Float32Array(rows).fill(1), [rows, 1], "ones");
    weights = mul(rec, weights, chosenExperts(rec, fixed, active, ones));
  }
  if (threshold > -1) {
    const above = addScalar(rec, scale(rec, addScalar(rec, fixed, -threshold), STEEP), 1);
    weights = mul(rec, weights, clamp(rec, above, 0, 1)); // 1 from the threshold on, else 0
  }
  return weights;
}
