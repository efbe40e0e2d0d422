/** Mean over the outputs of the size of the error. */
import { defineLabelLoss, noLaws } from "../../../run/training/label-loss.ts";
import { abs } from "../../../tensor/ops/elementwise.ts";
import { rowSum } from "../../../tensor/ops/reduce.ts";

export const method = defineLabelLoss({
  name: "mae",
  title: "Mean absolute error",
  about: "of numbers: mean over the outputs of the size of the error",
  cite: "common practice",
  laws: noLaws("it is of numbers"),
  options: {},
  errors: (rec, { errors }) => rowSum(rec, abs(rec, errors), 1 / errors.shape.at(-1)!),
});
