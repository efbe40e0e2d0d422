/** Options of `adapt nct`. */
import type { Options } from "../../method/options.ts";

export const NCT = {
  classifier: {
    type: "string",
    required: true,
    help: "classifier of the generator's rows: its class of a row is what is asked for",
    value: "MODEL",
  },
  steps: { type: "number.integer >= 1", default: 1000, help: "steps of the adapter", value: "N" },
  batch_size: { type: "number.integer >= 1", default: 256, help: "noises of a step", value: "N" },
  lr: { type: "number > 0", default: 1e-3, help: "rate, which falls to 0 by half a cosine", value: "RATE" },
  levels: {
    type: "number.integer >= 2",
    default: 20,
    help: "levels between a row's own noise and another",
    value: "N",
  },
  boundary: { type: "number >= 0", default: 1, help: "weight of a row's own noise giving the row", value: "W" },
  classifier_weight: {
    type: "number >= 0",
    default: 0,
    help: "weight of the classifier's cross-entropy on what comes out",
    value: "W",
  },
  metric: { type: "'pseudo-huber' | 'l2'", default: "pseudo-huber", help: "how far two rows are apart" },
  rank: { type: "number.integer >= 1", default: 16, help: "width of the adapter", value: "R" },
} as const satisfies Options;
