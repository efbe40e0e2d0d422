/** Options of `evaluate klom`. */
import { READING } from "../data/options.ts";
import type { Options } from "../method/options.ts";
import { HELD } from "../run/held-options.ts";

export const KLOM = {
  unlearned: {
    type: "string[]",
    required: true,
    help: "unlearned classifiers, each from another start",
    value: "MODEL",
  },
  retrained: {
    type: "string[]",
    required: true,
    help: "classifiers that were trained without the rows to forget, each from another start",
    value: "MODEL",
  },
  again: {
    type: "string[]",
    help: "further retrained ones, which give the noise floor; halves of --retrained do when left out",
    value: "MODEL",
  },
  data: { type: "string[]", required: true, help: "points, name=path for each group", value: "FILE" },
  columns: READING.columns,
  tokenizer: READING.tokenizer,
  max_length: READING.max_length,
  dtype: HELD.dtype,
} as const satisfies Options;
