/** Options of `align control`, besides those of a method and of the world. */
import type { Options } from "../../method/options.ts";
import { CARE } from "../../run/small-nets/trained.ts";
import { RUNNING } from "../../run/training/options.ts";

export const CONTROL = {
  data: { type: "string", required: true, help: "rows that bun run data wrote of a world", value: "FILE" },
  environment: {
    type: "string",
    kind: "task",
    required: true,
    help: "the world: gridworld, pointmass or bandit, with the options that its rows were made with",
    value: "WORLD",
  },
  environment_seed: { type: "number.integer >= 0", default: 0, help: "the --seed of the rows", value: "N" },
  steps: { type: "number.integer >= 0", default: 1000, help: "updates on the rows" },
  batch_size: { type: "number.integer >= 1", default: 64, help: "steps of the world in an update" },
  lr: { type: "number > 0", default: 3e-3, help: "learning rate of Adam" },
  hidden: { type: "number.integer[]", default: [32, 32], help: "units of the hidden layers", value: "N" },
  episodes: {
    type: "number.integer >= 1",
    default: 200,
    decides: "nothing",
    help: "episodes in the world that returns are the mean of",
    value: "N",
  },
  ...CARE,
  augment: {
    type: "number >= 0",
    default: 0,
    help: "deviation of noise on the observations of each update",
    value: "S",
  },
  save_every: { ...RUNNING.save_every, help: "updates between saved states; 0: none" },
  state: RUNNING.state,
  resume: RUNNING.resume,
} as const satisfies Options;
