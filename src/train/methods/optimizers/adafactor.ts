/**
 * Second moments of a matrix as those of its rows and columns, no first moment, and updates whose size is bounded.
 * Shazeer and Stern, ICML 2018, https://arxiv.org/abs/1804.04235, as PyTorch has it: the rate is min(lr, 1 / sqrt(t))
 * times the size of the weights.
 */
import { defineOptimizer, EVERY_OPTIMIZER_LAW } from "../../../run/training/optimizer.ts";
import { add, clamp, div, mul, scale, sqrt, square, sumTo } from "../../../tensor/ops/elementwise.ts";
import { dot, mean, rowSum } from "../../../tensor/ops/reduce.ts";
import type { Recorder } from "../../../tensor/recorder.ts";
import { sizeOf, type Tensor } from "../../../tensor/tensor.ts";

/** Least mean of row moments: the difference of 1 and the next f32. */
const EPSILON = 2 ** -23;
const MOST = 3e38;

/** Root of the mean square, (1). */
const rms = (rec: Recorder, x: Tensor): Tensor => sqrt(rec, scale(rec, dot(rec, x, x), 1 / sizeOf(x.shape)));

const isMatrix = (shape: readonly number[]): boolean => shape.length === 2 && Math.min(...shape) > 1;

export const method = defineOptimizer({
  name: "adafactor",
  title: "Adafactor",
  about: "second moments of rows and columns alone: next to no state for matrices",
  cite: "arXiv:1804.04235",
  laws: {
    ...EVERY_OPTIMIZER_LAW,
    elementwise: "the size of a step is bounded over the whole tensor",
  },
  options: {
    beta2_decay: { type: "number <= 0", default: -0.8, help: "1 - beta2 is the step to this power", value: "X" },
    least_scale: { type: "number > 0", default: 1e-3, help: "least size of weights that a step is relative to" },
    clip_update: { type: "number > 0", default: 1, help: "largest root mean square of an update", value: "D" },
    weight_decay: { type: "number >= 0", default: 0, help: "weight decay, times the learning rate" },
  },
  rule: {
    states({ shape }): Record<string, readonly number[]> {
      const [rows = 1, columns = 1] = shape;
      return isMatrix(shape) ? { row: [rows], column: [1, columns] } : { square: shape };
    },
    record(rec, { gradient, weight, states, number, values }) {
      const follow = (before: Tensor, now: Tensor) =>
        add(rec, scale(rec, before, number("beta2")), scale(rec, now, number("rest2")));
      const squares = square(rec, gradient);
      const { shape } = gradient;
      const [rows = 1, columns = 1] = shape;
      const next: Record<string, Tensor> = isMatrix(shape)
        ? {
            row: follow(states.row!, rowSum(rec, squares, 1 / columns)),
            column: follow(states.column!, scale(rec, sumTo(rec, squares, [1, columns]), 1 / rows)),
          }
        : { square: follow(states.square!, squares) };
      const variance = next.square ?? factored(rec, next.row!, next.column!);
      const raw = div(rec, gradient, sqrt(rec, clamp(rec, variance, EPSILON * EPSILON, MOST)));
      const bound = clamp(rec, scale(rec, rms(rec, raw), 1 / values.clip_update), 1, MOST);
      const size = clamp(rec, rms(rec, weight()), values.least_scale, MOST);
      return { update: mul(rec, raw, div(rec, size, bound)), states: next };
    },
  },
  fixed: () => ({}),
  numbers: ({ beta2_decay: power }, { t, lr, decay }) => ({
    shrink: 1 - lr * decay,
    rate: Math.min(lr, 1 / Math.sqrt(t)),
    beta2: 1 - t ** power,
    rest2: t ** power,
  }),
});

/** (R) and (1, C) -> (R, C): their outer product over the mean of the first. */
function factored(rec: Recorder, row: Tensor, column: Tensor): Tensor {
  const [rows = 1] = row.shape;
  const level = clamp(rec, mean(rec, row), EPSILON, MOST);
  return mul(rec, rec.reshape(div(rec, row, level), [rows, 1]), column);
}
