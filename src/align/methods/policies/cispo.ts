/**
 * Clipped importance sampling policy optimization: -A log p, weighed by the clipped ratio, through which no gradient
 * goes, so that no token loses its gradient. MiniMax 2025, https://arxiv.org/abs/2506.13585
 *
 * There is no bound below, and ratios count up to 1 + --clip-high.
 */
import { mul, neg, stopGradient } from "../../../tensor/ops/elementwise.ts";
import { definePolicy, EVERY_POLICY_LAW } from "../../policies/contract.ts";
import { clipped } from "../../policies/surrogate.ts";

export const method = definePolicy({
  name: "cispo",
  title: "Clipped importance sampling policy optimization",
  about: "-A log p weighed by clipped ratios: every token keeps a gradient",
  cite: "arXiv:2506.13585",
  laws: { ...EVERY_POLICY_LAW, clipped: "ratios are clipped as weights, and the gradient stays" },
  options: {},
  defaults: { clip_low: 1, clip_high: 4, aggregate: "global-token" },
  tokens(rec, { logProbs, ratio, advantages, values }) {
    const weight = clipped(rec, stopGradient(rec, ratio), values);
    return neg(rec, mul(rec, mul(rec, logProbs, weight), advantages));
  },
});
