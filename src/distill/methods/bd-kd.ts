/**
 * BD-KD: forward and reverse KL weighted row by row by who is more certain. Amara et al. 2022,
 * https://arxiv.org/abs/2212.12965
 *
 *   student  T^2 (a KL(p || q) + b KL(q || p)), (a, b) = (delta, 1) where the teacher's entropy is larger,
 *            else (1, delta)
 *   teacher  (--online) CE + T^2 KL(p || q), q held fixed
 *
 * An over-confident student is spread out by the first, a flat one sharpened by the second. delta 1 weighs both alike.
 */
import type { Options, Values } from "../../method/options.ts";
import { crossEntropy } from "../../tensor/ops/cross-entropy.ts";
import { rowEntropy } from "../../tensor/ops/distribution.ts";
import { divergence } from "../../tensor/ops/divergence.ts";
import { add, addScalar, isPositive, mul, neg, scale, sub } from "../../tensor/ops/elementwise.ts";
import { defineDistillation, EVERY_LAW } from "../contract.ts";
import { trainedTeacher } from "../trained-teacher.ts";

const OPTIONS = {
  delta: { type: "number >= 1", default: 2, help: "weight of the divergence that the row needs more" },
  temperature: {
    type: "number > 0",
    default: 1,
    help: "of both distributions; 4 is usual for classifiers",
    value: "T",
  },
} as const satisfies Options;

export const method = defineDistillation({
  name: "bd-kd",
  title: "Balanced divergence",
  about: "forward and reverse KL, weighted by which of the two models is more certain; --online trains the teacher too",
  cite: "arXiv:2212.12965",
  laws: EVERY_LAW,
  weights: { labels: 1 },
  options: OPTIONS,
  needs: [
    trainedTeacher<Values<typeof OPTIONS>>((rec, { student, teacher, targets, values: { temperature } }) =>
      add(
        rec,
        crossEntropy(rec, teacher, targets),
        divergence(rec, teacher, student, targets, { kind: "reverse-kl", temperature }),
      ),
    ),
  ],
  rows(rec, { student, teachers: [teacher], targets, values: { delta, temperature }, note }) {
    const gap = sub(rec, rowEntropy(rec, teacher!, temperature), rowEntropy(rec, student, temperature));
    const sure = isPositive(rec, gap); // 1 where the student is the more certain one
    note("student_surer", sure);
    const spread = addScalar(rec, scale(rec, sure, delta - 1), 1);
    const sharpen = addScalar(rec, neg(rec, spread), 1 + delta);
    const forward = divergence(rec, student, teacher!, targets, { kind: "forward-kl", temperature });
    const reverse = divergence(rec, student, teacher!, targets, { kind: "reverse-kl", temperature });
    return add(rec, mul(rec, spread, forward), mul(rec, sharpen, reverse));
  },
});
