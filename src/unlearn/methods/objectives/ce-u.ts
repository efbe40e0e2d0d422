/**
 * CE-U: cross-entropy against the model's own distribution with the true token impossible, held fixed. Yang et al.
 * 2025, https://arxiv.org/abs/2503.01224. The first token of every answer is left out.
 */
import { divergence } from "../../../tensor/ops/divergence.ts";
import { stopGradient } from "../../../tensor/ops/elementwise.ts";
import { defineObjective, EVERY_LAW } from "../../contract.ts";

export const method = defineObjective({
  name: "ce-u",
  title: "Cross-entropy unlearning",
  about: "learns the model's own distribution with the true token made impossible",
  cite: "arXiv:2503.01224",
  laws: { ...EVERY_LAW, gradientIsSlope: "the target is the model's own distribution, held fixed" },
  weights: { forget: 1, retain: 0 },
  retain: "none",
  defaults: { skip_tokens: 1 },
  options: {},
  rows: (rec, { logits, targets }) =>
    divergence(rec, logits, stopGradient(rec, logits), targets, { kind: "lowered-label", a: 1e30 }),
});
