/** Skew KL: KL(p || a p + (1 - a) q); at most -log a. Ko et al., ICML 2024, https://arxiv.org/abs/2402.03898 */
import { divergence } from "../../tensor/ops/divergence.ts";
import { defineDistillation, EVERY_LAW, TEMPERATURE } from "../contract.ts";
import { teacherCache } from "../teacher-cache.ts";

export const method = defineDistillation({
  name: "skew-kl",
  title: "Skew KL",
  about: "forward KL against a mixture with the teacher, which bounds it",
  cite: "arXiv:2402.03898",
  laws: EVERY_LAW,
  needs: [teacherCache],
  options: {
    alpha: { type: "0 <= number < 1", default: 0.1, help: "share of the mixture; 0: the plain divergence", value: "A" },
    temperature: TEMPERATURE,
  },
  rows: (rec, { student, teachers, targets, values: { alpha, temperature } }) =>
    divergence(rec, student, teachers[0]!, targets, { kind: "skew-kl", a: alpha, temperature }),
});
