/** Options of `data show`. */
import { READING } from "../data/options.ts";
import type { Options } from "../method/options.ts";

export const SHOW = {
  columns: READING.columns,
  tokenizer: READING.tokenizer,
  template: READING.template,
  turns: READING.turns,
  max_length: READING.max_length,
  overflow: READING.overflow,
  rows: { type: "number.integer >= 1", default: 10, help: "how many rows of each file", value: "N" },
} as const satisfies Options;
