/** Reverse KL, KL(q || p): seeks the teacher's modes. Gu et al., ICLR 2024, https://arxiv.org/abs/2306.08543 */
import { divergence } from "../../tensor/ops/divergence.ts";
import { defineDistillation, EVERY_LAW, TEMPERATURE } from "../contract.ts";
import { teacherCache } from "../teacher-cache.ts";

export const method = defineDistillation({
  name: "reverse-kl",
  title: "Reverse KL",
  about: "KL from the student's to the teacher's distribution, which seeks its modes",
  cite: "arXiv:2306.08543",
  laws: EVERY_LAW,
  needs: [teacherCache],
  options: { temperature: TEMPERATURE },
  rows: (rec, { student, teachers, targets, values: { temperature } }) =>
    divergence(rec, student, teachers[0]!, targets, { kind: "reverse-kl", temperature }),
});
