/** The sub-commands of `merge` that change the vocabulary of a model. */
import { command } from "../../cli/script.ts";
import { TRANSPLANT, TRIM } from "./surgery-options.ts";

export const VOCABULARY_COMMANDS = {
  trim: command({
    about: "Keep the tokens that texts need.",
    args: "[model]",
    examples: [
      "bun run merge trim model/ --data rows.jsonl -o trimmed/",
      "bun run merge trim model/ --data rows.jsonl --min-count 5 --keep-tokens words.txt --pad-to-multiple-of 64 -o trimmed/",
    ],
    output: "checkpoint",
    options: TRIM,
    run: async (context) => (await import("./trim.ts")).trim(context),
  }),
  transplant: command({
    about: "Put a model under the tokenizer of another.",
    args: "<model> <donor>",
    examples: [
      "bun run merge transplant model/ donor/ -o transplanted/",
      "bun run merge transplant model/ donor/ --approximate subword --byte-match yes -o transplanted/",
    ],
    output: "checkpoint",
    options: TRANSPLANT,
    run: async (context) => (await import("./transplant.ts")).transplant(context),
  }),
};
