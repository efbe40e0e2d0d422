/** Options of `train analytic`. */
import { READING } from "../../data/options.ts";
import type { Options } from "../../method/options.ts";

export const ANALYTIC = {
  data: { type: "string[]", required: true, help: "rows that the classifier reads, with labels", value: "FILE" },
  ridge: {
    type: "number > 0",
    help: "lambda, the penalty on the head's weights; 1 for a new head",
    value: "LAMBDA",
  },
  expand: {
    type: "number.integer >= 1",
    help: "let the head read so many random units, drawn by --seed, in place of the model's features",
    value: "M",
  },
  classes: {
    type: "number.integer >= 2",
    help: "give a language model a head of so many classes, which reads a text's last token",
    value: "K",
  },
  columns: READING.columns,
  tokenizer: READING.tokenizer,
  max_length: READING.max_length,
} as const satisfies Options;
