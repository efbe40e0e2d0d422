/**
 * Adan: adaptive Nesterov momentum without a second gradient. Xie et al., TPAMI 2024,
 * https://arxiv.org/abs/2208.06677, with proximal weight decay. `beta` are keep rates, one minus the paper's.
 */
import { defineOptimizer, EVERY_OPTIMIZER_LAW } from "../../../run/training/optimizer.ts";

export const method = defineOptimizer({
  name: "adan",
  title: "Adan",
  about: "adaptive Nesterov momentum estimated from the change of the gradient",
  cite: "arXiv:2208.06677",
  laws: EVERY_OPTIMIZER_LAW,
  kernel: "train/adan",
  states: ["mean", "change", "square", "previous"],
  options: {
    beta1: { type: "0 <= number < 1", default: 0.98, help: "decay of the first moment" },
    beta2: { type: "0 <= number < 1", default: 0.92, help: "decay of the moment of gradient changes" },
    beta3: { type: "0 <= number < 1", default: 0.99, help: "decay of the second moment" },
    eps: { type: "number > 0", default: 1e-8, help: "added to the root of the second moment" },
    weight_decay: { type: "number >= 0", default: 0.02, help: "proximal weight decay, times the learning rate" },
  },
  fixed: ({ beta1, beta2, beta3, eps }) => ({
    beta1,
    rest1: 1 - beta1,
    beta2,
    rest2: 1 - beta2,
    beta3,
    rest3: 1 - beta3,
    eps,
  }),
  numbers: ({ beta1, beta2, beta3 }, { t, lr, decay }) => ({
    shrink: 1 / (1 + lr * decay),
    rate1: lr / (1 - beta1 ** t),
    // Without the moment of changes (beta2 = 0) its correction is 1.
    rate2: (lr * beta2) / (1 - beta2 ** t),
    correction: 1 / Math.sqrt(1 - beta3 ** t),
    first: t === 1 ? 1 : 0,
  }),
});
