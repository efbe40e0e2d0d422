/** SatImp: ascent weighted by p^b1 (1 - p)^b2. Yang et al. 2025, https://arxiv.org/abs/2505.11953 */
import { addScalar, exp, log, mul, neg, scale, stopGradient } from "../../../tensor/ops/elementwise.ts";
import { defineObjective, EVERY_LAW } from "../../contract.ts";

export const method = defineObjective({
  name: "satimp",
  title: "Saturation and importance",
  about: "climbs the loss, weighted to tokens that are likely yet not certain",
  cite: "arXiv:2505.11953",
  laws: { ...EVERY_LAW, gradientIsSlope: "the weight of a token is held fixed" },
  weights: { forget: 0.1, retain: 1 },
  options: {
    b1: { type: "number >= 0", default: 5, help: "power of p" },
    b2: { type: "number >= 0", default: 1, help: "power of 1 - p; 0: WGA" },
  },
  sequences(rec, { nll, values: { b1, b2 } }) {
    const fixed = stopGradient(rec, nll);
    const certain = exp(rec, scale(rec, fixed, -b1)); // p^b1, (B, T)
    if (b2 === 0) return neg(rec, mul(rec, certain, nll)); // log(1 - p) is not finite where p is 1
    const others = addScalar(rec, neg(rec, exp(rec, neg(rec, fixed))), 1); // 1 - p
    const doubtful = exp(rec, scale(rec, log(rec, others), b2));
    return neg(rec, mul(rec, mul(rec, certain, doubtful), nll));
  },
});
