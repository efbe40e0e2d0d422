/** Options of `sample refine`. */
import type { Options } from "../method/options.ts";

export const REFINE = {
  rounds: {
    type: "0 <= number.integer <= 64",
    default: 4,
    value: "M",
    help: "passes over the texts at most, each for as long as the last one made a text likelier",
  },
  share: {
    type: "0 < number <= 1",
    default: 0.3,
    value: "RHO",
    help: "of a text's tokens, how many the first pass may change; fewer in those behind it",
  },
  batch_size: { type: "number.integer >= 1", default: 8, value: "N", help: "texts that are read together" },
} as const satisfies Options;
