/**
 * KL(p || q) of logits that are divided by their standard deviation over the classes, of teacher and student alike: a
 * temperature of each row's own. The labels' loss reads the student's so divided, too. It is meant for a plain teacher
 * and a student on rows of which some are mixed (`--mixup 1 --mixup-keep 0.5`). Choi et al., WACV 2023,
 * https://arxiv.org/abs/2211.03946
 */
import { divergence } from "../../tensor/ops/divergence.ts";
import { addScalar, div, sqrt, square, sub } from "../../tensor/ops/elementwise.ts";
import { rowMax, rowSum } from "../../tensor/ops/reduce.ts";
import { softmax } from "../../tensor/ops/softmax.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import { rowsOf, type Tensor } from "../../tensor/tensor.ts";
import { defineDistillation, EVERY_LAW } from "../contract.ts";

/** Of a variance, before its root. */
const TINY = 1e-12;

/** (N, V) -> (N, V): every row over its standard deviation. */
export function standardised(rec: Recorder, x: Tensor): Tensor {
  const { rows, width } = rowsOf(x);
  const column = (values: Tensor) => rec.reshape(values, [rows, 1]);
  const centred = sub(rec, x, column(rowSum(rec, x, 1 / width)));
  const variance = rowSum(rec, square(rec, centred), 1 / Math.max(1, width - 1));
  return div(rec, centred, column(sqrt(rec, addScalar(rec, variance, TINY))));
}

export const method = defineDistillation({
  name: "mixkd",
  title: "Mixed rows, divided logits",
  about: "KL of logits over their standard deviation, for students on rows of which some are mixed",
  cite: "arXiv:2211.03946",
  laws: EVERY_LAW,
  weights: { distill: 0.9, labels: 0.1 },
  options: {
    least_confidence: {
      type: "0 <= number <= 1",
      default: 0.8,
      help: "warn where the teacher's largest probability is below it in the mean of the first steps",
      value: "P",
    },
  },
  doubts: ({ teacher_confidence: found = 1 }, { least_confidence: least }) =>
    found < least
      ? `the teacher's largest probability is ${found.toFixed(2)} in the mean: one that learnt mixed rows, or too little, teaches less well than a plain one (--least-confidence ${least})`
      : undefined,
  scores: standardised,
  rows(rec, { student, teachers, targets, note }) {
    const teacher = standardised(rec, teachers[0]!);
    note("teacher_confidence", rowMax(rec, softmax(rec, teachers[0]!)));
    return divergence(rec, standardised(rec, student), teacher, targets, { kind: "forward-kl", temperature: 1 });
  },
});
