/**
 * AdamW: Adam with weight decay apart from the gradient. Loshchilov & Hutter, ICLR 2019,
 * https://arxiv.org/abs/1711.05101.
 */
import { defineOptimizer, EVERY_OPTIMIZER_LAW } from "../../../run/training/optimizer.ts";

export const method = defineOptimizer({
  name: "adamw",
  title: "AdamW",
  about: "Adam with weight decay apart from the gradient",
  cite: "arXiv:1711.05101",
  laws: EVERY_OPTIMIZER_LAW,
  kernel: "train/adamw",
  states: ["mean", "square"],
  savedAs: { mean: "exp_avg", square: "exp_avg_sq" },
  options: {
    beta1: { type: "0 <= number < 1", default: 0.9, help: "decay of the first moment" },
    beta2: { type: "0 <= number < 1", default: 0.95, help: "decay of the second moment" },
    eps: { type: "number > 0", default: 1e-8, help: "added to the root of the second moment" },
    weight_decay: { type: "number >= 0", default: 0.1, help: "weight decay, times the learning rate" },
  },
  fixed: ({ beta1, beta2, eps }) => ({ beta1, rest1: 1 - beta1, beta2, rest2: 1 - beta2, eps }),
  numbers: ({ beta1, beta2 }, { t, lr, decay }) => ({
    shrink: 1 - lr * decay,
    rate: lr / (1 - beta1 ** t),
    correction: 1 / Math.sqrt(1 - beta2 ** t),
  }),
});
