/** Options of `train stragglers`. */
import type { Options } from "../../method/options.ts";

export const STRAGGLERS = {
  workers: { type: "number.integer >= 2", default: 16, help: "workers that share the gradients of a job", value: "N" },
  jobs: { type: "number.integer >= 1", default: 200, help: "gradients that are needed", value: "J" },
  slow: { type: "number >= 1", default: 6, help: "how many times as long a slow worker takes", value: "X" },
  slow_begin: { type: "0 <= number < 1", default: 0.05, help: "chance that a worker begins to be slow", value: "P" },
  slow_stay: { type: "0 <= number < 1", default: 0.4, help: "chance that a slow worker stays so a round", value: "P" },
  overhead: {
    type: "number >= 0",
    default: 0.05,
    help: "time of a round besides gradients, over that of a whole gradient on one worker",
    value: "X",
  },
  spread: {
    type: "number >= 0",
    default: 0.05,
    help: "mean of what workers take longer by chance, over their time",
    value: "X",
  },
} as const satisfies Options;
