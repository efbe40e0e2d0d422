/** Kernel, states, options and numbers of AdamW, which other optimizers give to what they do not train themselves. */
import type { Optimizer } from "../run/training/optimizer.ts";

const OPTIONS = {
  beta1: { type: "0 <= number < 1", default: 0.9, help: "decay of the first moment" },
  beta2: { type: "0 <= number < 1", default: 0.95, help: "decay of the second moment" },
  eps: { type: "number > 0", default: 1e-8, help: "added to the root of the second moment" },
  weight_decay: { type: "number >= 0", default: 0.1, help: "weight decay, times the learning rate" },
} as const;

export const ADAMW = {
  kernel: "train/adamw",
  states: ["mean", "square"],
  savedAs: { mean: "exp_avg", square: "exp_avg_sq" },
  options: OPTIONS,
  fixed: ({ beta1, beta2, eps }) => ({ beta1, rest1: 1 - beta1, beta2, rest2: 1 - beta2, eps }),
  numbers: ({ beta1, beta2 }, { t, lr, decay }) => ({
    shrink: 1 - lr * decay,
    rate: lr / (1 - beta1 ** t),
    correction: 1 / Math.sqrt(1 - beta2 ** t),
  }),
} as const satisfies Partial<Optimizer<typeof OPTIONS>>;
