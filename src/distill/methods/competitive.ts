/**
 * Competitive distillation: student and teacher learn together, and whichever gives the label more probability teaches
 * the other. Shi et al., ICCV 2025, https://arxiv.org/abs/2506.23285. Another paper has the name too, CoMD of Li et al.
 * 2023, https://arxiv.org/abs/2311.08213: its rounds that mine and augment hard instructions are not here.
 *
 *   student              CE + T^2 KL(p || q) where p_label > q_label
 *   teacher (--online)   CE + T^2 KL(q || p) where q_label > p_label
 *
 * The paper names the better one batch by batch; here it is named row by row, since within a batch each has rows it
 * knows better. Its random perturbation of the weights is not here. Without --online a teacher that stays as it is is
 * followed only where it is right.
 */
import type { Options, Values } from "../../method/options.ts";
import { crossEntropy } from "../../tensor/ops/cross-entropy.ts";
import { divergence } from "../../tensor/ops/divergence.ts";
import { add, isPositive, mul, stopGradient, sub } from "../../tensor/ops/elementwise.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { defineDistillation, EVERY_LAW, TEMPERATURE } from "../contract.ts";
import { trainedTeacher } from "../trained-teacher.ts";

/** 1 in rows where `other` gives the label more probability than `own`, else 0: (n, V) each -> (n). No gradient. */
function surpassed(rec: Recorder, own: Tensor, other: Tensor, targets: Tensor): Tensor {
  const loss = (logits: Tensor) => crossEntropy(rec, stopGradient(rec, logits), targets);
  return isPositive(rec, sub(rec, loss(own), loss(other)));
}

const OPTIONS = { temperature: TEMPERATURE } as const satisfies Options;

export const method = defineDistillation({
  name: "competitive",
  title: "Competitive distillation",
  about: "row by row the model that is nearer to the label teaches the other; --online trains both",
  cite: "arXiv:2506.23285",
  laws: EVERY_LAW,
  weights: { labels: 1 },
  options: OPTIONS,
  needs: [
    trainedTeacher<Values<typeof OPTIONS>>((rec, { student, teacher, targets, values: { temperature } }) => {
      const learns = surpassed(rec, teacher, student, targets);
      const kl = divergence(rec, teacher, student, targets, { kind: "forward-kl", temperature });
      return add(rec, crossEntropy(rec, teacher, targets), mul(rec, learns, kl));
    }),
  ],
  rows(rec, { student, teachers: [teacher], targets, values: { temperature }, note }) {
    const learns = surpassed(rec, student, teacher!, targets);
    note("teacher_better", learns);
    return mul(rec, learns, divergence(rec, student, teacher!, targets, { kind: "forward-kl", temperature }));
  },
});
