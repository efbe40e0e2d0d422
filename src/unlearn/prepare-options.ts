/** Options of `unlearn prepare-pd`. */
import { READING } from "../data/options.ts";
import type { Options } from "../method/options.ts";
import { HELD } from "../run/held-options.ts";

export const PREPARE_PD = {
  data: {
    type: "string[]",
    required: true,
    help: "the prompts to forget, in harmless contexts; answers of rows are not looked at",
    value: "FILE",
  },
  batch_size: { type: "number.integer >= 1", default: 16, help: "rows that are run at once", value: "N" },
  max_tokens: { type: "number.integer >= 1", default: 64, help: "most tokens of an answer", value: "N" },
  stop: { type: "string[]", help: "texts before which an answer ends, each its own --stop", value: "TEXT" },
  columns: READING.columns,
  tokenizer: READING.tokenizer,
  template: READING.template,
  max_length: READING.max_length,
  ...HELD,
} as const satisfies Options;
