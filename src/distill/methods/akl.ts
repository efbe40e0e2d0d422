/**
 * Adaptive KL: w KL(p || q) + (1 - w) KL(q || p), w the share of |p - q| in the head of the teacher's distribution,
 * held fixed. Wu et al. 2024, https://arxiv.org/abs/2404.02657
 */
import { headGap } from "../../tensor/ops/distribution.ts";
import { divergence } from "../../tensor/ops/divergence.ts";
import { add, addScalar, mul, neg } from "../../tensor/ops/elementwise.ts";
import { defineDistillation, EVERY_LAW, TEMPERATURE } from "../contract.ts";

export const method = defineDistillation({
  name: "akl",
  title: "Adaptive KL",
  about: "forward and reverse KL, weighted token by token by where the student is off: head or tail",
  cite: "arXiv:2404.02657",
  laws: {
    ...EVERY_LAW,
    gradientIsSlope: "the weights of the two divergences are held fixed",
  },
  options: {
    mu: { type: "0 < number < 1", default: 0.5, help: "probability mass of the head", value: "M" },
    temperature: TEMPERATURE,
  },
  rows(rec, { student, teachers: [teacher], targets, values: { mu, temperature }, note }) {
    const head = headGap(rec, student, teacher!, mu, temperature);
    note("head_share", head);
    const forward = divergence(rec, student, teacher!, targets, { kind: "forward-kl", temperature });
    const reverse = divergence(rec, student, teacher!, targets, { kind: "reverse-kl", temperature });
    return add(rec, mul(rec, head, forward), mul(rec, addScalar(rec, neg(rec, head), 1), reverse));
  },
});
