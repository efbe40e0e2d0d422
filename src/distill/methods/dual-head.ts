/**
 * Dual-head distillation: a loss on the logits themselves, sent through a second head so that it shapes the body
 * without pulling at the main head. Yang et al. 2024, https://arxiv.org/abs/2411.08937
 *
 *   tau^2 sum_v [ log(1/2 / s) / 2 + log(1/2 / (1 - s)) / 2 ],  s = sigmoid((b - teacher) / tau),
 *   b the second head's logits
 *
 * The second head is linear, and left out of the result. With --grad-align the part of its gradient that goes against
 * the labels' is taken away: g - min(0, <g, g_labels>) / |g_labels|^2 g_labels over all weights, which costs a second
 * pass.
 */
import { addScalar, logSigmoid, neg, scale, sub } from "../../tensor/ops/elementwise.ts";
import { linear } from "../../tensor/ops/linear.ts";
import { rowSum } from "../../tensor/ops/reduce.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { alignedGradients } from "../aligned-gradients.ts";
import { defineDistillation, EVERY_LAW } from "../contract.ts";

/** Sum over a row of the binary divergences of logits, 0 where they agree: (n, V) each -> (n). */
export function logitLoss(rec: Recorder, logits: Tensor, teacher: Tensor, tau: number): Tensor {
  const apart = scale(rec, sub(rec, logits, teacher), 1 / tau);
  const both = rowSum(rec, logSigmoid(rec, apart));
  const other = rowSum(rec, logSigmoid(rec, neg(rec, apart)));
  const outputs = logits.shape.at(-1)!;
  const half = scale(rec, sub(rec, neg(rec, both), other), 0.5);
  return scale(rec, addScalar(rec, half, -outputs * Math.LN2), tau ** 2);
}

export const method = defineDistillation({
  name: "dual-head",
  title: "Dual head",
  about:
    "a loss on the logits through a second head that is dropped afterwards, beside the labels through the main one",
  cite: "arXiv:2411.08937",
  laws: {
    ...EVERY_LAW,
    zeroAtTeacher: "the second head is compared with the teacher, not the student's own",
    shiftInvariant: "logits are compared themselves",
    zeroWhereUncounted: "it knows no labels",
  },
  weights: { labels: 1 },
  options: {
    tau: { type: "number > 0", default: 2, help: "softens the difference of logits", value: "T" },
  },
  needs: [alignedGradients],
  extra: ({ student, teacher }) => [{ name: "second_head", shape: [teacher!.outputs, student.width], std: 0.02 }],
  rows: (rec, { hidden, teachers, extra, values: { tau } }) =>
    logitLoss(rec, linear(rec, hidden, extra("second_head")), teachers[0]!, tau),
});
