/**
 * Mean squared distance of the student's outputs to the teacher's: of numbers, or of logits before the softmax. Ba and
 * Caruana, "Do Deep Nets Really Need to be Deep?", NeurIPS 2014, https://arxiv.org/abs/1312.6184
 */
import { square, sub } from "../../tensor/ops/elementwise.ts";
import { rowSum } from "../../tensor/ops/reduce.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { defineDistillation, EVERY_LAW } from "../contract.ts";

const distance = (rec: Recorder, own: Tensor, teacher: Tensor): Tensor =>
  rowSum(rec, square(rec, sub(rec, own, teacher)), 1 / own.shape.at(-1)!);

export const method = defineDistillation({
  name: "output-mse",
  title: "Squared distance of outputs",
  about: "mean squared distance to the teacher's logits, or to the numbers that it predicts",
  cite: "arXiv:1312.6184",
  laws: {
    ...EVERY_LAW,
    shiftInvariant: "logits are compared themselves",
    zeroWhereUncounted: "it knows no labels",
  },
  options: {},
  rows: (rec, { student, teachers }) => distance(rec, student, teachers[0]!),
  numbers: (rec, { student, teachers }) => distance(rec, student, teachers[0]!),
});
