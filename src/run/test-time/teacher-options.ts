/** Options that methods with a mean teacher share. */
import type { Options } from "../../method/options.ts";

export const TEACHER = {
  teacher_momentum: {
    type: "0 <= number <= 1",
    default: 0.999,
    help: "share of the teacher that stays at a step: a moving average of the weights",
  },
} as const satisfies Options;

export const RESTORING = {
  restore: {
    type: "0 <= number <= 1",
    default: 0.01,
    help: "probability that a weight goes back to the source's after a step",
  },
} as const satisfies Options;

export const SURE = {
  views: {
    type: "number.integer >= 1",
    default: 32,
    help: "views that the teacher's answer is the mean of",
    value: "N",
  },
  sure_above: {
    type: "0 <= number <= 1",
    default: 0.92,
    help: "mean largest probability of the source model from which on the teacher answers by the rows alone; 0.72 for 100 classes",
  },
} as const satisfies Options;
