/** Options of `train route-search` and `train routers`. */
import { READING } from "../../data/options.ts";
import type { Options } from "../../method/options.ts";
import { HELD } from "../../run/held-options.ts";

const READ = {
  columns: READING.columns,
  tokenizer: READING.tokenizer,
  template: READING.template,
  max_length: READING.max_length,
  dtype: HELD.dtype,
} as const satisfies Options;

export const SEARCH = {
  data: { type: "string[]", required: true, help: "rows of prompt and completion", value: "FILE" },
  rounds: { type: "number.integer >= 1", default: 50, help: "most ways that are tried for a row", value: "N" },
  explore: { type: "number >= 0", default: 1.8, help: "weight of ways that were seldom visited", value: "C" },
  shorter: { type: "number >= 0", default: 3, help: "weight of the length of a way", value: "W" },
  chance: { type: "0 <= number <= 1", default: 0.1, help: "chance of a step that goes anywhere", value: "P" },
  enough: {
    type: "number.integer >= 1",
    default: 2,
    help: "layers fewer that end the search of a row that the whole model answers right",
    value: "N",
  },
  mended: {
    type: "0 <= number < 1",
    default: 0.3,
    help: "least share of rows that the whole model answers wrong and a way right; of the others so many are left out; 0: none",
    value: "SHARE",
  },
  batch_size: { type: "number.integer >= 1", default: 16, help: "rows that are searched at once", value: "N" },
  ...READ,
} as const satisfies Options;

export const FIT = {
  data: {
    type: "string[]",
    required: true,
    help: "rows with their ways, as train route-search writes them",
    value: "FILE",
  },
  hidden: { type: "number.integer >= 1", default: 128, help: "units of a router", value: "N" },
  epochs: { type: "number.integer >= 1", default: 15, help: "passes over the rows", value: "N" },
  batch_size: { type: "number.integer >= 1", default: 8, help: "rows of a micro-batch", value: "N" },
  accumulate: { type: "number.integer >= 1", default: 16, help: "micro-batches of a step", value: "N" },
  lr: { type: "number > 0", default: 1e-3, help: "learning rate", value: "RATE" },
  warmup: { type: "number.integer >= 0", default: 500, help: "steps until the rate is reached", value: "N" },
  weight_decay: { type: "number >= 0", default: 0.01, help: "of the routers' matrices", value: "D" },
  gamma: { type: "number >= 0", default: 2, help: "how much less a label counts that is foreseen well", value: "G" },
  beta: { type: "0 <= number < 1", default: 0.999, help: "how much less a choice counts that is common", value: "B" },
  ...READ,
} as const satisfies Options;
