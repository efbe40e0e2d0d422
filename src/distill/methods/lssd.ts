/**
 * Logit-swap self-distillation of Mix-CPT: forward KL to the frozen original, whose label and likeliest token change
 * places. What the original knows stays, and the label comes first. Jiang et al. 2024, https://arxiv.org/abs/2407.10804
 */

import { swapTop } from "../../tensor/ops/distribution.ts";
import { divergence } from "../../tensor/ops/divergence.ts";
import { defineDistillation, EVERY_LAW, TEMPERATURE } from "../contract.ts";

export const method = defineDistillation({
  name: "lssd",
  title: "Logit-swap self-distillation",
  about: "forward KL to the original model with the label put first; for continued training, with --teacher self",
  cite: "arXiv:2407.10804",
  laws: {
    ...EVERY_LAW,
    zeroAtTeacher: "its target puts the label first",
  },
  weights: { distill: 0.5, labels: 0.5 },
  options: { temperature: TEMPERATURE },
  rows: (rec, { student, teachers, targets, values: { temperature } }) =>
    divergence(rec, student, swapTop(rec, teachers[0]!, targets), targets, { kind: "forward-kl", temperature }),
});
