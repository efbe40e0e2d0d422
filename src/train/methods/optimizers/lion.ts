/** Steps of one size along the sign of a momentum. Chen et al., NeurIPS 2023, https://arxiv.org/abs/2302.06675 */
import { defineOptimizer, EVERY_OPTIMIZER_LAW } from "../../../run/training/optimizer.ts";

export const method = defineOptimizer({
  name: "lion",
  title: "Lion",
  about: "steps along the sign of a momentum: one state; a tenth to a third of AdamW's rate",
  cite: "arXiv:2302.06675",
  laws: EVERY_OPTIMIZER_LAW,
  kernel: "train/lion",
  states: ["mean"],
  savedAs: { mean: "exp_avg" },
  options: {
    beta1: { type: "0 <= number < 1", default: 0.9, help: "share of the momentum in a step" },
    beta2: { type: "0 <= number < 1", default: 0.99, help: "decay of the momentum" },
    weight_decay: { type: "number >= 0", default: 0.1, help: "weight decay, times the learning rate" },
  },
  fixed: ({ beta1, beta2 }) => ({ beta1, rest1: 1 - beta1, beta2, rest2: 1 - beta2 }),
  numbers: (_, { lr, decay }) => ({ shrink: 1 - lr * decay, rate: lr }),
});
