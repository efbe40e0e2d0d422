/** Options of `data decontaminate`. */
import type { Options } from "../../method/options.ts";
import { READING } from "../options.ts";

/** What rows are compared by, and whether any are written: of all commands that drop rows. */
export const COMPARED = {
  part: {
    type: "'prompt' | 'all'",
    default: "prompt",
    help: "what is compared: the prompts, or all that rows say",
  },
  check: {
    type: "boolean",
    default: false,
    help: "write no rows, and end with exit code 1 where some would be dropped",
  },
  columns: READING.columns,
} as const satisfies Options;

export const DECONTAMINATE = {
  against: {
    type: "string[]",
    value: "FILE",
    help: "test rows, name=path for each set",
  },
  ngram: {
    type: "1 <= number.integer <= 1000",
    default: 8,
    value: "N",
    help: "tokens of an n-gram; words and signs are tokens",
  },
  covered: {
    type: "0 <= number < 1",
    default: 0.5,
    help: "a test row is matched when more than this share of its tokens stands in n-grams of one training row",
  },
  allowed: {
    type: "0 <= number < 1",
    default: 0,
    help: "rows are dropped where more than this share of a test set is matched; Tulu 3 has 0.02",
  },
  ...COMPARED,
} as const satisfies Options;
