/**
 * Mean over the outputs of e^2 / 2 up to |e| = delta, and of delta (|e| - delta / 2) from there on. Huber 1964,
 * https://doi.org/10.1214/aoms/1177703732
 */
import { defineLabelLoss, noLaws } from "../../../run/training/label-loss.ts";
import { abs, clamp, mul, scale, sub } from "../../../tensor/ops/elementwise.ts";
import { rowSum } from "../../../tensor/ops/reduce.ts";

export const method = defineLabelLoss({
  name: "huber",
  title: "Huber loss",
  about: "of numbers: half the squared error of small errors, and linear from delta on",
  cite: "Huber 1964",
  laws: noLaws("it is of numbers"),
  options: {
    huber_delta: { type: "number > 0", default: 1, help: "error from which on the loss is linear", value: "DELTA" },
  },
  errors(rec, { errors, values }) {
    // With s = min(|e|, delta): s |e| - s^2 / 2.
    const size = abs(rec, errors);
    const small = clamp(rec, size, 0, values.huber_delta);
    const loss = mul(rec, small, sub(rec, size, scale(rec, small, 0.5)));
    return rowSum(rec, loss, 1 / errors.shape.at(-1)!);
  },
});
