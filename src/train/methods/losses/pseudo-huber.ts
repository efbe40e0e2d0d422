/**
 * sqrt(|e|^2 + c^2) - c over all outputs of a row: |e|^2 / (2 c) of small errors, |e| of large ones. Charbonnier et al.
 * 1997; c as Song and Dhariwal, ICLR 2024, https://arxiv.org/abs/2310.14189, choose it: 0.00054 sqrt(K) for K outputs.
 */
import { defineLabelLoss, noLaws } from "../../../run/training/label-loss.ts";
import { addScalar, sqrt, square } from "../../../tensor/ops/elementwise.ts";
import { rowSum } from "../../../tensor/ops/reduce.ts";

export const method = defineLabelLoss({
  name: "pseudo-huber",
  title: "Pseudo-Huber loss",
  about: "of numbers: sqrt(|e|^2 + c^2) - c of all errors of a row together",
  cite: "arXiv:2310.14189",
  laws: noLaws("it is of numbers"),
  options: {
    pseudo_huber_c: {
      type: "number > 0",
      help: "size of an error between small and large ones; 0.00054 sqrt(outputs) when left out",
      value: "C",
    },
  },
  errors(rec, { errors, values }) {
    const c = values.pseudo_huber_c ?? 0.00054 * Math.sqrt(errors.shape.at(-1)!);
    const squares = rowSum(rec, square(rec, errors));
    return addScalar(rec, sqrt(rec, addScalar(rec, squares, c * c)), -c);
  },
});
