/** Options of `align meta`. */
import type { Options } from "../../method/options.ts";

export const META = {
  form: {
    type: "'schedule' | 'drift' | 'objective'",
    default: "schedule",
    help: "what is searched: multipliers of rate and entropy bonus, a penalty of moving away, or a whole objective",
  },
  world: {
    type: "'bandit' | 'gridworld'",
    default: "bandit",
    help: "where the learners live: each in a world of its own",
  },
  side: { type: "2 <= number.integer <= 8", default: 3, help: "cells along each side of gridworlds", value: "N" },
  arms: { type: "2 <= number.integer <= 64", default: 10, help: "arms of the bandits" },
  noise: { type: "number >= 0", default: 0.3, help: "deviation of their rewards, whose means are between 0 and 1" },
  lr: { type: "number > 0", default: 0.5, help: "rate of the learner, which the schedule multiplies" },
  entropy: { type: "number > 0", default: 0.05, help: "weight of its entropy bonus, which the schedule multiplies" },
  lengths: { type: "number.integer[]", default: [200, 2000], help: "shortest and longest lifetime", value: "T" },
  sees: {
    type: "'time' | 'nothing'",
    default: "time",
    help: "what the network sees of time: t/T and ln T, or nothing",
  },
  hidden: {
    type: "number.integer[]",
    default: [16],
    help: "units of its hidden layers, or of its recurrent layer",
    value: "N",
  },
  generations: { type: "number.integer >= 1", default: 60, help: "updates of what is searched", value: "N" },
  pairs: { type: "number.integer >= 1", default: 16, help: "mirrored pairs in a generation", value: "N" },
  lives: { type: "number.integer >= 1", default: 4, help: "lifetimes of each", value: "N" },
  sigma: { type: "number > 0", default: 0.1, help: "deviation of the weights of a pair" },
  es_lr: { type: "number > 0", default: 0.05, help: "learning rate of Adam on what is searched" },
  test_lengths: {
    type: "number.integer[]",
    default: [300, 700, 1500],
    help: "lifetimes it is measured on",
    value: "T",
  },
  test_lives: { type: "number.integer >= 2", default: 60, help: "how many of each length", value: "N" },
} as const satisfies Options;
