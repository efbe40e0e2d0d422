/** SGD with momentum, as PyTorch has it. Polyak 1964; Sutskever et al., ICML 2013, for Nesterov's form. */
import { defineOptimizer, EVERY_OPTIMIZER_LAW } from "../../../run/training/optimizer.ts";

export const method = defineOptimizer({
  name: "sgd",
  title: "SGD",
  about: "gradient descent with momentum",
  cite: "Sutskever et al., ICML 2013",
  laws: { ...EVERY_OPTIMIZER_LAW, scaleFree: "a step is proportional to the gradients" },
  kernel: "train/sgd",
  decaysByGradient: true,
  states: ["velocity"],
  savedAs: { velocity: "momentum_buffer" },
  options: {
    momentum: { type: "0 <= number < 1", default: 0.9, help: "share of the last step that is kept" },
    nesterov: { type: "boolean", default: false, help: "look ahead along the momentum" },
    weight_decay: { type: "number >= 0", default: 0, help: "added to the gradient, times the weight" },
  },
  fixed: ({ momentum, nesterov }) => ({ momentum, nesterov: nesterov ? 1 : 0 }),
  numbers: (_, { t, lr, decay }) => ({ lr, decay, first: t === 1 ? 1 : 0 }),
});
