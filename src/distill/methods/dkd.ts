/**
 * Decoupled distillation: the divergence in how likely the label is, and that over all other outputs, each with a
 * weight of its own. Zhao et al., CVPR 2022, https://arxiv.org/abs/2203.08679
 *
 *   T^2 (alpha KL(b_p || b_q) + beta KL(p' || q'))
 *
 * b is the label's probability and the rest of it, p' the distribution over all outputs but the label, both at
 * temperature T. Forward KL is alpha 1 and, row by row, beta 1 - p_label: a teacher that is sure of the label then says
 * next to nothing of the other outputs, which a beta of the row's own does not let happen.
 */

import { withoutLabel } from "../../tensor/ops/distribution.ts";
import { divergence } from "../../tensor/ops/divergence.ts";
import { add, logSigmoid, mul, neg, scale, sigmoid, stopGradient, sub } from "../../tensor/ops/elementwise.ts";
import { labelGap } from "../../tensor/ops/label-gap.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { defineDistillation, EVERY_LAW, TEMPERATURE } from "../contract.ts";

/** KL of two outcomes whose log-odds against the first are these, (n) each -> (n); no gradient goes to the teacher. */
function binaryKl(rec: Recorder, student: Tensor, teacher: Tensor): Tensor {
  const part = (sign: 1 | -1) => {
    const [own, theirs] = [scale(rec, student, sign), scale(rec, stopGradient(rec, teacher), sign)];
    return mul(rec, sigmoid(rec, theirs), sub(rec, logSigmoid(rec, theirs), logSigmoid(rec, own)));
  };
  return add(rec, part(1), part(-1));
}

export const method = defineDistillation({
  name: "dkd",
  title: "Decoupled distillation",
  about: "the divergence of the label's probability and that over all other outputs, weighted apart",
  cite: "arXiv:2203.08679",
  laws: EVERY_LAW,
  options: {
    alpha: { type: "number >= 0", default: 1, help: "weight of the label's probability", value: "A" },
    beta: { type: "number >= 0", default: 8, help: "weight of the distribution over the other outputs", value: "B" },
    temperature: TEMPERATURE,
  },
  rows(rec, { student, teachers, targets, values: { alpha, beta, temperature }, note }) {
    const gap = (logits: Tensor) => neg(rec, labelGap(rec, scale(rec, logits, 1 / temperature), targets));
    const label = scale(rec, binaryKl(rec, gap(student), gap(teachers[0]!)), temperature ** 2);
    const [own, theirs] = [student, teachers[0]!].map((logits) => withoutLabel(rec, logits, targets));
    const others = divergence(rec, own!, theirs!, targets, { kind: "forward-kl", temperature });
    note("label_divergence", label);
    note("other_divergence", others);
    return add(rec, scale(rec, label, alpha), scale(rec, others, beta));
  },
});
