/**
 * UNDIAL: cross-entropy against theta0's own distribution with the label's logit lowered by `strength`. Means over
 * tokens that count. Dong et al. 2024, https://arxiv.org/abs/2402.10052
 */
import { divergence } from "../../../tensor/ops/divergence.ts";
import { defineObjective, EVERY_LAW } from "../../contract.ts";

export const method = defineObjective({
  name: "undial",
  title: "UNDIAL",
  about: "learns from the original's own distribution with the true token made less likely",
  cite: "arXiv:2402.10052",
  laws: EVERY_LAW,
  weights: { forget: 1, retain: 0 },
  retain: "none",
  original: true,
  options: { strength: { type: "number >= 0", default: 10, help: "taken off the true token's logit; 3 to 30" } },
  rows: (rec, { logits, original, targets, values: { strength } }) =>
    divergence(rec, logits, original(), targets, { kind: "lowered-label", a: strength }),
});
