/**
 * Sequence-level distillation: cross-entropy on what the teacher samples. Kim and Rush, EMNLP 2016,
 * https://arxiv.org/abs/1606.07947
 */
import { sameClaim } from "../../method/laws.ts";
import { DISTILL_LAWS, defineDistillation } from "../contract.ts";

export const method = defineDistillation({
  name: "seq-kd",
  title: "Sequence-level distillation",
  about: "cross-entropy on completions that the teacher samples",
  cite: "arXiv:1606.07947",
  laws: sameClaim(DISTILL_LAWS, "the cross-entropy of the labels is all there is"),
  weights: { distill: 0, labels: 1 },
  defaults: { teacher_samples: 1 },
  options: {},
});
