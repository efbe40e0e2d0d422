/**
 * Entropy of answers beside the shares that classes have among them. Bateson et al., MedIA 2022,
 * https://arxiv.org/abs/2108.03152
 */
import { div, log, mul, sub, sumTo } from "../../tensor/ops/elementwise.ts";
import { dot, mean, rowMax, rowSum } from "../../tensor/ops/reduce.ts";
import { logSoftmax, softmax } from "../../tensor/ops/softmax.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { entropyOf } from "./losses.ts";

/** Least share of a class, whose logarithm is taken. */
const LEAST = 1e-6;

/** Mean over rows of -sum_c v_c p_c log p_c, (1), from logits (B, K); v are 1 where left out. */
export function weighedEntropy(rec: Recorder, logits: Tensor, weights?: readonly number[]): Tensor {
  if (!weights) return mean(rec, entropyOf(rec, logits));
  const own = rec.constant(
    Float32Array.from(weights, (v) => -v),
    [1, weights.length],
    "weights of classes",
  );
  const terms = mul(rec, softmax(rec, logits), logSoftmax(rec, logits));
  return mean(rec, rowSum(rec, mul(rec, terms, own)));
}

/**
 * The shares of classes among rows, (1, K): of their mean probabilities, or with `soft-count` of sum_u p_uc / max p_u,
 * which is nearer to a count of answers.
 */
export function classShares(rec: Recorder, logits: Tensor, kind: "soft-count" | "mean"): Tensor {
  const [n = 0, k = 0] = logits.shape;
  const p = softmax(rec, logits);
  const counted = kind === "mean" ? p : div(rec, p, rec.reshape(rowMax(rec, p), [n, 1]));
  const sums = sumTo(rec, counted, [1, k]);
  return div(rec, sums, rec.reshape(rowSum(rec, sums), [1, 1]));
}

/** KL(r || tau) = sum_c r_c log(r_c / tau_c), (1), of shares (1, K) and a prior, which is at least 1e-6 everywhere. */
export function shareDivergence(rec: Recorder, shares: Tensor, prior: readonly number[]): Tensor {
  const logs = Float32Array.from(prior, (tau) => Math.log(Math.max(tau, LEAST)));
  return dot(rec, shares, sub(rec, log(rec, shares), rec.constant(logs, [1, prior.length], "log prior")));
}
