/** The sub-command of `merge` that merges models part by part, by what they read in the merged model. */
import { command } from "../../cli/commands.ts";
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

export const REGMEAN_COMMANDS = {
  "regmean++": command({
    about: "RegMean block by block: every model's rows come to its blocks through those that are merged.",
    args: "[...models]",
    examples: ["bun run merge regmean++ a/ b/ --data a.jsonl --data b.jsonl -o merged/"],
    output: "checkpoint",
    options: REGMEAN,
    run: async (context) => (await import("./regmean-plus-plus.ts")).regmeanPlusPlus(context),
  }),
} as const;
