/** Options of `evaluate moe-cost`. */
import type { Options } from "../../method/options.ts";

export const MOE_COST = {
  width: { type: "number.integer >= 1", default: 256, value: "N", help: "numbers of a token" },
  hidden: { type: "number.integer >= 1", default: 512, value: "N", help: "hidden units of an expert" },
  experts: { type: "number.integer >= 1", default: 8, value: "E", help: "experts of the layer" },
  top_k: { type: "number.integer >= 1", default: 2, value: "K", help: "experts of a token, at most --experts" },
  sizes: {
    type: "number.integer[]",
    default: [32, 64, 128, 256, 512, 1024],
    value: "N",
    help: "numbers of tokens that are timed, rising",
  },
  repeats: { type: "number.integer >= 1", default: 5, value: "N", help: "times of a size, of which the median counts" },
  chunks: { type: "number.integer[]", default: [1, 2, 4, 8], value: "R", help: "numbers of chunks to choose from" },
  tokens: { type: "number.integer >= 1", default: 4096, value: "N", help: "tokens that are to be cut into chunks" },
} as const satisfies Options;
