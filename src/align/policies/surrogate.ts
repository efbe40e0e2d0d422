/** The parts of losses of tokens that policy-gradient methods share. */
import {
  add,
  addScalar,
  clamp,
  div,
  exp,
  isPositive,
  maximum,
  minimum,
  mul,
  neg,
  scale,
  square,
  sub,
} from "../../tensor/ops/elementwise.ts";
import { rowSum } from "../../tensor/ops/reduce.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { SharedValues, TokenRange, TokenTerms } from "./contract.ts";

/** Largest log-ratio that is made a ratio: e^20 is beyond every range, and finite. */
const MOST = 20;
/** Largest divergence of one token that counts. */
const MOST_KL = 10;

/** Importance of tokens (B, T), or of whole answers (B, 1): log-ratios (B, T), tokens of the answers (B, 1). */
export function importance(rec: Recorder, kind: SharedValues["ratio"], logRatio: Tensor, lengths: Tensor): Tensor {
  const power = (x: Tensor) => exp(rec, clamp(rec, x, -MOST, MOST));
  if (kind === "token") return power(logRatio);
  const whole = rec.reshape(rowSum(rec, logRatio), lengths.shape);
  return power(kind === "product" ? whole : div(rec, whole, lengths));
}

/** Ratios between 1 - low and 1 + high, or the ends of a range, without gradient beyond. */
export const clipped = (
  rec: Recorder,
  ratio: Tensor,
  { clip_low: low, clip_high: high }: SharedValues,
  range?: TokenRange,
): Tensor => (range ? minimum(rec, maximum(rec, ratio, range.low), range.high) : clamp(rec, ratio, 1 - low, 1 + high));

/**
 * PPO's surrogate, -min(ratio A, clip(ratio) A), the ratio no larger than --clip-delta in the first: (B, T).
 * Schulman et al. 2017, https://arxiv.org/abs/1707.06347
 */
export function clippedSurrogate(rec: Recorder, { ratio, advantages, range, values }: TokenTerms): Tensor {
  const { clip_delta: delta } = values;
  const bounded = delta === undefined ? ratio : clamp(rec, ratio, 0, delta);
  const free = mul(rec, bounded, advantages);
  return neg(rec, minimum(rec, free, mul(rec, clipped(rec, ratio, values, range), advantages)));
}

/**
 * Shares of tokens that the surrogate clips: below the range with a negative advantage, above it with a positive one.
 * (B, T) of 0 and 1 each.
 */
export function clipShares(
  rec: Recorder,
  { ratio, advantages, range, values }: TokenTerms,
): { readonly clip_low: Tensor; readonly clip_high: Tensor } {
  const { clip_low: low, clip_high: high } = values;
  const under = range ? sub(rec, range.low, ratio) : addScalar(rec, neg(rec, ratio), 1 - low);
  const over = range ? sub(rec, ratio, range.high) : addScalar(rec, ratio, -1 - high);
  return {
    clip_low: mul(rec, isPositive(rec, under), isPositive(rec, neg(rec, advantages))),
    clip_high: mul(rec, isPositive(rec, over), isPositive(rec, advantages)),
  };
}

/**
 * The divergence from another policy at every token, estimated from new and other log-probabilities (B, T). k3 counts
 * at most 10. Schulman 2020, http://joschu.net/blog/kl-approx.html
 */
export function divergenceOf(
  rec: Recorder,
  estimator: SharedValues["kl_estimator"],
  logProbs: Tensor,
  others: Tensor,
): Tensor {
  const d = sub(rec, logProbs, others);
  if (estimator === "k1") return d;
  if (estimator === "k2") return scale(rec, square(rec, d), 0.5);
  const k3 = addScalar(rec, add(rec, exp(rec, clamp(rec, neg(rec, d), -MOST, MOST)), d), -1);
  return clamp(rec, k3, -MOST_KL, MOST_KL);
}
