/** Options of `sample vectors`. */
import type { Options } from "../method/options.ts";

export const VECTORS = {
  count: { type: "number.integer >= 1", default: 16, help: "rows to draw", value: "N" },
  steps: {
    type: "1 <= number.integer <= 1000",
    default: 18,
    help: "levels from noise to a row; 1 for a generator of one step",
    value: "N",
  },
  sampler: {
    type: "'heun' | 'euler' | 'consistency'",
    default: "heun",
    help: "how levels follow each other; consistency, with noise anew in between, for --loss ict",
  },
  label: { type: "number.integer >= 0", help: "class of all rows; of no class when left out", value: "CLASS" },
  each_label: { type: "boolean", default: false, help: "the classes by turns" },
  guidance: {
    type: "number >= 0",
    default: 1,
    help: "how far a class draws: 0 not at all, 1 as learnt, above 1 further",
    value: "G",
  },
  batch_size: { type: "number.integer >= 1", default: 256, help: "rows that are drawn at once", value: "N" },
} as const satisfies Options;
