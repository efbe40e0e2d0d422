/** Options of `merge regmean++`. */
import { READING } from "../../data/options.ts";
import type { Options } from "../../method/options.ts";
import { WRITING } from "../options.ts";

const { shards, shard_size } = WRITING;

export const REGMEAN = {
  data: {
    type: "string[]",
    required: true,
    value: "FILE",
    help: "rows of each model, in the order of the models",
  },
  weight: { type: "number[]", value: "W", help: "share of each model; alike when left out" },
  reduce: {
    type: "0 <= number <= 1",
    default: 0.9,
    help: "what off-diagonal entries of Gram matrices are multiplied by",
  },
  batch_size: { type: "number.integer >= 1", default: 16, help: "rows that are run at once", value: "N" },
  ...READING,
  shards,
  shard_size,
} as const satisfies Options;
