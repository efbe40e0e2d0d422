/**
 * Soft adaptive policy optimization: a sigmoid of the ratio in the place of clipping, (4 / t) sigmoid(t (ratio - 1)) A,
 * whose temperature t depends on the sign of the advantage. Gao et al. 2025, https://arxiv.org/abs/2511.20347
 */
import { addScalar, div, isPositive, mul, neg, scale, sigmoid } from "../../../tensor/ops/elementwise.ts";
import { definePolicy, EVERY_POLICY_LAW } from "../../policies/contract.ts";

export const method = definePolicy({
  name: "sapo",
  title: "Soft adaptive policy optimization",
  about: "ratios fade out smoothly on both sides instead of being clipped",
  cite: "arXiv:2511.20347",
  laws: { ...EVERY_POLICY_LAW, clipped: "gradients fade out, and never end" },
  options: {
    fade_positive: { type: "number > 0", default: 1, help: "t where the advantage is positive", value: "T" },
    fade_negative: { type: "number > 0", default: 1.05, help: "t where it is negative", value: "T" },
  },
  tokens(rec, { ratio, advantages, values: { fade_positive: positive, fade_negative: negative } }) {
    const t = addScalar(rec, scale(rec, isPositive(rec, advantages), positive - negative), negative);
    const soft = div(rec, scale(rec, sigmoid(rec, mul(rec, t, addScalar(rec, ratio, -1))), 4), t);
    return neg(rec, mul(rec, soft, advantages));
  },
});
