/**
 * WGA: ascent weighted by p^beta, so that tokens already unlikely are left alone. Wang et al. 2025,
 * https://arxiv.org/abs/2502.19301
 */
import { exp, mul, neg, scale, stopGradient } from "../../../tensor/ops/elementwise.ts";
import { defineObjective, EVERY_LAW } from "../../contract.ts";

export const method = defineObjective({
  name: "wga",
  title: "Weighted gradient ascent",
  about: "climbs the loss token by token, weighted by how likely the token still is",
  cite: "arXiv:2502.19301",
  laws: { ...EVERY_LAW, gradientIsSlope: "the weight of a token is held fixed" },
  weights: { forget: 1, retain: 1 },
  options: { beta: { type: "number >= 0", default: 1, help: "power of the probability; 0: gradient ascent" } },
  sequences(rec, { nll, values: { beta } }) {
    const weight = exp(rec, scale(rec, stopGradient(rec, nll), -beta)); // p^beta, (B, T)
    return neg(rec, mul(rec, weight, nll));
  },
});
