/** Options of `train boost`. */
import { READING } from "../../data/options.ts";
import type { Options } from "../../method/options.ts";

export const BOOST = {
  init: {
    type: "string",
    required: true,
    help: "config.json of the perceptron: one hidden layer, hidden_act sigmoid",
    value: "FILE",
  },
  data: { type: "string[]", required: true, help: "rows of x and label, or of x and y", value: "FILE" },
  columns: READING.columns,
  block: { type: "number.integer >= 1", default: 5, help: "units that are fitted at once", value: "J" },
  rate: { type: "0 < number <= 1", default: 0.5, help: "share of its step that a block takes", value: "ETA" },
  share: { type: "0 < number <= 1", default: 0.5, help: "share of the rows that a block learns from", value: "F" },
  iterations: { type: "number.integer >= 1", default: 200, help: "steps of a block's fit", value: "N" },
  fit_rate: { type: "number > 0", default: 0.05, help: "rate of Adam in it", value: "RATE" },
} as const satisfies Options;
