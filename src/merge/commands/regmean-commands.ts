/** The sub-command of `merge` that merges models part by part, by what they read in the merged model. */
import { command } from "../../cli/commands.ts";
import { REGMEAN } from "../front/options.ts";

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
