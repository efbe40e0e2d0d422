/** Mean over the outputs of the squared error. */
import { defineLabelLoss, noLaws } from "../../../run/training/label-loss.ts";
import { square } from "../../../tensor/ops/elementwise.ts";
import { rowSum } from "../../../tensor/ops/reduce.ts";

export const method = defineLabelLoss({
  name: "mse",
  title: "Mean squared error",
  about: "of numbers: mean over the outputs of the squared error",
  cite: "common practice",
  laws: noLaws("it is of numbers"),
  options: {},
  errors: (rec, { errors }) => rowSum(rec, square(rec, errors), 1 / errors.shape.at(-1)!),
});
