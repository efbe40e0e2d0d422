/** Options of what changes the weights of rewards during a run. */
import type { Options } from "../../../method/options.ts";

export const REWARD_WEIGHTS = {
  reward_weights: {
    type: "'fixed' | 'hypervolume' | 'gradient' | 'constrained'",
    default: "fixed",
    help: "rewards count as --reward says, by what they add to the best combinations so far, by what the gradient of each does for all, or up to --thresholds",
  },
  hypervolume_every: {
    type: "number.integer >= 1",
    default: 5,
    with: { reward_weights: "hypervolume" },
    help: "rollouts between measurements on --held-prompts, or whose mean is one combination where there are none",
    value: "N",
  },
  gradient_rate: {
    type: "number >= 0",
    default: 0.1,
    with: { reward_weights: "gradient" },
    help: "how fast weights of rewards change",
    value: "X",
  },
  gradients_of: {
    type: "string[]",
    with: { reward_weights: "gradient" },
    help: "glob of weights whose gradients are compared; all that are trained when left out",
    value: "GLOB",
  },
  thresholds: {
    type: "number[]",
    with: { reward_weights: "constrained" },
    help: "mean that each reward is to have, in their order",
    value: "R,...",
  },
  constraint: {
    type: "'geq' | 'eq'",
    default: "geq",
    with: { reward_weights: "constrained" },
    help: "means are to be at least their thresholds, or at them",
  },
  multiplier_lr: {
    type: "number > 0",
    default: 0.01,
    with: { reward_weights: "constrained" },
    help: "learning rate of the multipliers",
    value: "LR",
  },
  multiplier_momentum: {
    type: "0 <= number < 1",
    default: 0.1,
    with: { reward_weights: "constrained" },
    help: "momentum of the multipliers",
    value: "X",
  },
} as const satisfies Options;
