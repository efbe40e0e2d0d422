/**
 * Total variation, half the sum of |p - q|: symmetric and at most 1. Wen et al., ACL 2023,
 * https://arxiv.org/abs/2307.15190
 */
import { divergence } from "../../tensor/ops/divergence.ts";
import { defineDistillation, EVERY_LAW, TEMPERATURE } from "../contract.ts";
import { teacherCache } from "../teacher-cache.ts";

export const method = defineDistillation({
  name: "tvd",
  title: "Total variation",
  about: "half the sum of absolute differences of probabilities",
  cite: "arXiv:2307.15190",
  laws: EVERY_LAW,
  needs: [teacherCache],
  options: { temperature: TEMPERATURE },
  rows: (rec, { student, teachers, targets, values: { temperature } }) =>
    divergence(rec, student, teachers[0]!, targets, { kind: "tvd", temperature }),
});
