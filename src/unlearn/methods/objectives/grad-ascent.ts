/** Gradient ascent on the forget set, and nothing else: -CE. Jang et al., ACL 2023, https://arxiv.org/abs/2210.01504 */
import { neg } from "../../../tensor/ops/elementwise.ts";
import { defineObjective, EVERY_LAW } from "../../contract.ts";

export const method = defineObjective({
  name: "grad-ascent",
  title: "Gradient ascent",
  about: "climbs the loss of the forget set; no retain term, so it destroys the rest as well",
  cite: "arXiv:2210.01504",
  laws: { ...EVERY_LAW, bounded: "ascent has no end" },
  weights: { forget: 1, retain: 0 },
  retain: "none",
  options: {},
  sequences: (rec, { nll }) => neg(rec, nll),
});
