/**
 * AdamW with one second moment for each row of a matrix: half of its states. Zhang et al., ICLR 2025,
 * https://arxiv.org/abs/2406.16793. Queries and keys have one for each head, where they are weights of their own; a
 * vector has one in all.
 */
import { defineOptimizer, EVERY_OPTIMIZER_LAW } from "../../../run/training/optimizer.ts";
import { add, addScalar, div, scale, sqrt, square } from "../../../tensor/ops/elementwise.ts";
import { mean, rowSum } from "../../../tensor/ops/reduce.ts";
import { sizeOf } from "../../../tensor/tensor.ts";

export const method = defineOptimizer({
  name: "adam-mini",
  title: "Adam-mini",
  about: "AdamW with one second moment for each row of a matrix, or head: half of the states",
  cite: "arXiv:2406.16793",
  laws: { ...EVERY_OPTIMIZER_LAW, elementwise: "the values of a row, or of a head, share a second moment" },
  options: {
    beta1: { type: "0 <= number < 1", default: 0.9, help: "decay of the first moment" },
    beta2: { type: "0 <= number < 1", default: 0.95, help: "decay of the second moments" },
    eps: { type: "number > 0", default: 1e-8, help: "added to the root of a second moment" },
    weight_decay: { type: "number >= 0", default: 0.1, help: "weight decay, times the learning rate" },
  },
  rule: {
    states: ({ shape, heads }) => ({ mean: shape, square: [heads ?? rowsIn(shape)] }),
    record(rec, { gradient, states, number, values: { beta1, beta2, eps } }) {
      const { shape } = gradient;
      const [rows = 1] = states.square!.shape;
      const width = sizeOf(shape) / rows;
      const squares = rec.reshape(square(rec, gradient), [rows, width]);
      const level = rows === 1 ? mean(rec, squares) : rowSum(rec, squares, 1 / width);
      const first = add(rec, scale(rec, states.mean!, beta1), scale(rec, gradient, 1 - beta1));
      const second = add(rec, scale(rec, states.square!, beta2), scale(rec, rec.reshape(level, [rows]), 1 - beta2));
      const sizes = addScalar(rec, scale(rec, sqrt(rec, second), number("correction")), eps);
      const wide = rec.reshape(first, [rows, width]);
      const update = rec.reshape(div(rec, wide, rec.reshape(sizes, [rows, 1])), shape);
      return { update, states: { mean: first, square: second } };
    },
  },
  fixed: () => ({}),
  numbers: ({ beta1, beta2 }, { t, lr, decay }) => ({
    shrink: 1 - lr * decay,
    rate: lr / (1 - beta1 ** t),
    correction: 1 / Math.sqrt(1 - beta2 ** t),
  }),
});

/** Rows that have a second moment each. */
const rowsIn = (shape: readonly number[]): number => (shape.length < 2 ? 1 : sizeOf(shape) / shape.at(-1)!);
