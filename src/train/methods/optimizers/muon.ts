/**
 * Momentum made orthogonal: of a matrix of gradients with U S V^T, the step is about U V^T, by five steps of a
 * Newton-Schulz iteration. Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/; the size of steps after Liu
 * et al. 2025, https://arxiv.org/abs/2502.16982, or as in the original. It is for the matrices of hidden layers;
 * embeddings, heads and vectors are trained by AdamW.
 */
import { defineOptimizer, EVERY_OPTIMIZER_LAW } from "../../../run/training/optimizer.ts";
import { add, addScalar, div, scale, sqrt } from "../../../tensor/ops/elementwise.ts";
import { product } from "../../../tensor/ops/linear.ts";
import { dot } from "../../../tensor/ops/reduce.ts";
import type { Recorder } from "../../../tensor/recorder.ts";
import type { Tensor } from "../../../tensor/tensor.ts";
import { besideBy } from "../../adamw.ts";

/** Of x -> a x + b x^3 + c x^5, which brings singular values near 1 fast, and to 1 within a third. */
const [A, B, C] = [3.4445, -4.775, 2.0315];
const EPSILON = 1e-7;

/** Of a matrix (m, n), one with the same singular vectors whose singular values are about 1. */
export function orthogonal(rec: Recorder, x: Tensor, steps: number): Tensor {
  const [m = 0, n = 0] = x.shape;
  const [least, most] = [Math.min(m, n), Math.max(m, n)];
  const norm = addScalar(rec, sqrt(rec, dot(rec, x, x)), EPSILON);
  let y = div(rec, x, norm);
  for (let i = 0; i < steps; i++) {
    const square = rec.scratch([least, least], "products of rows");
    // Y Y^T where rows are fewer, else Y^T Y.
    product(rec, { form: m <= n ? "nt" : "tn", m: least, n: least, k: most, a: y, b: y, c: square });
    const fourth = rec.scratch([least, least], "their square");
    product(rec, { form: "nn", m: least, n: least, k: least, a: square, b: square, c: fourth });
    const factor = add(rec, scale(rec, square, B), scale(rec, fourth, C));
    const next = rec.scratch([m, n], "orthogonal");
    const [a, b] = m <= n ? [factor, y] : [y, factor];
    product(rec, { form: "nn", m, n, k: least, a, b, c: next, add: scale(rec, y, A) });
    y = next;
  }
  return y;
}

export const method = defineOptimizer({
  name: "muon",
  title: "Muon",
  about: "momentum made orthogonal, for the matrices of hidden layers; AdamW for the rest",
  cite: "arXiv:2502.16982",
  laws: {
    ...EVERY_OPTIMIZER_LAW,
    elementwise: "a matrix is made orthogonal as a whole",
  },
  options: {
    momentum: { type: "0 <= number < 1", default: 0.95, help: "decay of the momentum" },
    nesterov: { type: "boolean", default: true, help: "look ahead along the momentum; --no-nesterov does not" },
    muon_steps: { type: "number.integer >= 1", default: 5, help: "steps of Newton and Schulz", value: "N" },
    muon_size: {
      type: "'rms' | 'original'",
      default: "rms",
      help: "of a step: as AdamW's, 0.2 sqrt(longer side), so that its rates serve; or sqrt(max(1, rows / columns))",
    },
    muon_adamw_rate: { type: "number > 0", default: 1, help: "AdamW's rate for the rest, times --lr", value: "X" },
    weight_decay: { type: "number >= 0", default: 0.1, help: "weight decay, times the learning rate" },
  },
  rule: {
    states: ({ shape }) => ({ momentum: shape }),
    record(rec, { gradient, states, values: { momentum: mu, nesterov, muon_steps: steps, muon_size: size } }) {
      const momentum = add(rec, scale(rec, states.momentum!, mu), scale(rec, gradient, 1 - mu));
      const ahead = nesterov ? add(rec, scale(rec, gradient, 1 - mu), scale(rec, momentum, mu)) : momentum;
      const [m = 1, n = 1] = gradient.shape;
      const factor = size === "rms" ? 0.2 * Math.sqrt(Math.max(m, n)) : Math.sqrt(Math.max(1, m / n));
      return { update: scale(rec, orthogonal(rec, ahead, steps), factor), states: { momentum } };
    },
  },
  instead({ isHidden }, { muon_adamw_rate: rate, weight_decay }) {
    return isHidden ? undefined : { bound: besideBy({ weight_decay }), rate };
  },
  savedAs: { momentum: "momentum_buffer" },
  fixed: () => ({}),
  numbers: (_, { lr, decay }) => ({ shrink: 1 - lr * decay, rate: lr }),
});
