/**
 * Gradient difference: ascent on the forget set, descent on the retain set. Liu et al. 2022,
 * https://arxiv.org/abs/2203.12817
 */
import { neg } from "../../../tensor/ops/elementwise.ts";
import { defineObjective, EVERY_LAW } from "../../contract.ts";

export const method = defineObjective({
  name: "grad-diff",
  title: "Gradient difference",
  about: "climbs the loss of the forget set and descends that of the retain set",
  cite: "arXiv:2203.12817",
  laws: { ...EVERY_LAW, bounded: "ascent has no end" },
  weights: { forget: 1, retain: 1 },
  options: {},
  sequences: (rec, { nll }) => neg(rec, nll),
});
