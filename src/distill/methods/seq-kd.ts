/** Sequence-level distillation: cross-entropy on what the teacher samples. Kim and Rush, EMNLP 2016, https://arxiv.org/abs/1606.07947 */
import { defineDistillation } from "../contract.ts";

export const method = defineDistillation({
  name: "seq-kd",
  title: "Sequence-level distillation",
  about: "cross-entropy on completions that the teacher samples",
  cite: "arXiv:1606.07947",
  weights: { distill: 0, labels: 1 },
  samples: "teacher",
  options: {},
});
