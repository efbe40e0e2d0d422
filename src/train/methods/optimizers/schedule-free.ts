/**
 * AdamW without a schedule: gradients are taken at a point between the fast weights and their average, and the average
 * is what is measured and saved. Defazio et al., NeurIPS 2024, https://arxiv.org/abs/2405.15682. With `z` the fast
 * weights and x the average, weighted by squares of rates, y = (1 - beta1) z + beta1 x is trained. A constant rate
 * after a warm-up is meant to go with it (`--schedule constant --warmup N`).
 */
import { defineOptimizer, EVERY_OPTIMIZER_LAW } from "../../../run/training/optimizer.ts";
import { add, addScalar, div, mul, scale, sqrt, square, sub } from "../../../tensor/ops/elementwise.ts";
import { ADAMW_OPTIONS } from "../../adamw.ts";

export const method = defineOptimizer({
  name: "schedule-free",
  title: "Schedule-free AdamW",
  about: "AdamW whose average of weights takes the place of a falling rate",
  cite: "arXiv:2405.15682",
  laws: EVERY_OPTIMIZER_LAW,
  options: {
    ...ADAMW_OPTIONS,
    beta1: { type: "0 < number < 1", default: 0.9, help: "share of the average in the weights that are trained" },
  },
  rule: {
    states: ({ shape }) => ({ fast: shape, square: shape, weight_sum: [1] }),
    record(rec, { gradient, weight, states, number, values: { beta1, beta2, eps } }) {
      const y = weight();
      // The fast weights begin where the weights are.
      const z = add(rec, scale(rec, states.fast!, number("later")), scale(rec, y, number("first")));
      const next = add(rec, scale(rec, states.square!, beta2), scale(rec, square(rec, gradient), 1 - beta2));
      const sizes = addScalar(rec, scale(rec, sqrt(rec, next), number("correction")), eps);
      const step = add(rec, scale(rec, div(rec, gradient, sizes), number("lr")), scale(rec, y, number("decay")));
      // The share c of the new fast weights in the average: lr^2 over the sum of such squares.
      const sum = addScalar(rec, states.weight_sum!, number("weight"));
      const share = div(rec, addScalar(rec, scale(rec, sum, 0), number("weight")), addScalar(rec, sum, 1e-30));
      const away = mul(rec, sub(rec, y, z), share);
      // y <- (1 - c) y + c z - (1 - beta1 (1 - c)) step
      const along = addScalar(rec, scale(rec, share, beta1), 1 - beta1);
      return {
        update: add(rec, away, mul(rec, step, along)),
        states: { fast: sub(rec, z, step), square: next, weight_sum: sum },
      };
    },
  },
  /** x = y / beta1 - (1 / beta1 - 1) z. */
  measured: (rec, { weight, states, values: { beta1 } }) =>
    sub(rec, scale(rec, weight(), 1 / beta1), scale(rec, states.fast!, 1 / beta1 - 1)),
  savedAs: { fast: "z", square: "exp_avg_sq" },
  fixed: () => ({}),
  numbers: ({ beta2 }, { t, lr, decay }) => ({
    shrink: 1,
    rate: 1,
    lr,
    decay: lr * decay,
    weight: lr * lr,
    correction: 1 / Math.sqrt(1 - beta2 ** t),
    first: t === 1 ? 1 : 0,
    later: t === 1 ? 0 : 1,
  }),
});
