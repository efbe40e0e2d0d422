/**
 * Forward KL from the teacher's to the student's distribution, T^2 KL(p || q). Hinton et al. 2015,
 * https://arxiv.org/abs/1503.02531
 */
import { divergence } from "../../tensor/ops/divergence.ts";
import { defineDistillation, EVERY_LAW, TEMPERATURE } from "../contract.ts";
import { teacherCache } from "../teacher-cache.ts";

export const method = defineDistillation({
  name: "kd",
  title: "Knowledge distillation",
  about: "forward KL at a temperature, mixed with the labels by --label-weight",
  cite: "arXiv:1503.02531",
  laws: EVERY_LAW,
  needs: [teacherCache],
  options: { temperature: TEMPERATURE },
  rows: (rec, { student, teachers, targets, values: { temperature } }) =>
    divergence(rec, student, teachers[0]!, targets, { kind: "forward-kl", temperature }),
});
