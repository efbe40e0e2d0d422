/**
 * KL minimisation: ascent on the forget set, KL(p_theta0 || p) on the retain set. Maini et al. 2024,
 * https://arxiv.org/abs/2401.06121
 */
import { neg } from "../../../tensor/ops/elementwise.ts";
import { defineObjective, EVERY_LAW } from "../../contract.ts";

export const method = defineObjective({
  name: "kl-min",
  title: "KL minimisation",
  about: "climbs the loss of the forget set and stays near the original's distribution on the retain set",
  cite: "arXiv:2401.06121",
  laws: { ...EVERY_LAW, bounded: "ascent has no end" },
  weights: { forget: 1, retain: 1 },
  retain: "kl",
  options: {},
  sequences: (rec, { nll }) => neg(rec, nll),
});
