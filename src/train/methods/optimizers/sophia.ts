/**
 * Momentum over the curvature of each weight, and no step larger than the rate: flat directions move by signs, steep
 * ones by Newton's step. Liu et al., ICLR 2024, https://arxiv.org/abs/2305.14342. The diagonal of the Hessian is
 * Hutchinson's estimate, made every few steps from two more passes over the step's batches; its products come from
 * differences of gradients, where the paper differentiates twice.
 */
import { defineOptimizer, EVERY_OPTIMIZER_LAW } from "../../../run/training/optimizer.ts";
import { add, clamp, div, scale } from "../../../tensor/ops/elementwise.ts";

const MOST = 3e38;

export const method = defineOptimizer({
  name: "sophia",
  title: "Sophia",
  about: "momentum over an estimate of each weight's curvature, clipped; a third to all of AdamW's rate",
  cite: "arXiv:2305.14342",
  laws: EVERY_OPTIMIZER_LAW,
  options: {
    beta1: { type: "0 <= number < 1", default: 0.96, help: "decay of the momentum" },
    beta2: { type: "0 <= number < 1", default: 0.99, help: "decay of the curvature, from estimate to estimate" },
    sophia_gamma: { type: "number > 0", default: 0.01, help: "times the curvature: small clips more", value: "X" },
    sophia_every: { type: "number.integer >= 1", default: 10, help: "steps from one estimate to the next", value: "N" },
    sophia_distance: {
      type: "number > 0",
      default: 1e-3,
      help: "deviation of the move of weights that gradients are compared over",
      value: "X",
    },
    eps: { type: "number > 0", default: 1e-12, help: "least curvature" },
    weight_decay: { type: "number >= 0", default: 0.1, help: "weight decay, times the learning rate" },
  },
  rule: {
    states: ({ shape }) => ({ mean: shape, curvature: shape }),
    record(rec, { gradient, states, values: { beta1, sophia_gamma: gamma, eps } }) {
      const mean = add(rec, scale(rec, states.mean!, beta1), scale(rec, gradient, 1 - beta1));
      const sizes = clamp(rec, scale(rec, states.curvature!, gamma), eps, MOST);
      return { update: clamp(rec, div(rec, mean, sizes), -1, 1), states: { mean } };
    },
  },
  curvature: {
    state: "curvature",
    every: ({ sophia_every }) => sophia_every,
    distance: ({ sophia_distance }) => sophia_distance,
    keep: ({ beta2 }) => beta2,
  },
  savedAs: { mean: "exp_avg", curvature: "hessian" },
  fixed: () => ({}),
  numbers: (_, { lr, decay }) => ({ shrink: 1 - lr * decay, rate: lr }),
});
