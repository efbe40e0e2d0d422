/** Options of `evaluate shift`. */
import { READING } from "../../data/options.ts";
import type { Options } from "../../method/options.ts";
import { HELD } from "../../run/held-options.ts";
import { EVALUATE } from "../options.ts";

export const SHIFT = {
  data: { type: "string[]", required: true, help: "rows of the domain that models learnt", value: "FILE" },
  shifted: {
    type: "string[]",
    help: "rows of other domains, name=path for each",
    value: "FILE",
  },
  corruption: {
    type: "string[]",
    kind: "corruption",
    help: "ways in which the rows of --data get worse, each at severity 0 to 5; none when left out",
  },
  shots: {
    type: "(number.integer >= 0)[]",
    default: [0, 1, 2, 4],
    help: "of rows of prompt and completion: examples before the prompt, of the learnt domain and of the row's own",
    value: "K,...",
  },
  separator: { type: "string", default: "\n\n", value: "TEXT", help: "text behind such an example" },
  bootstrap: { type: "number.integer >= 1", default: 1000, help: "resamples for 95 % intervals", value: "N" },
  range: { type: "number[]", default: [0, 1], value: "LOW,HIGH", help: "of the values of rows of numbers" },
  shape: { type: "number.integer[]", value: "C,H,W", help: "of images whose rows are flat lists of numbers" },
  mask: { type: "string", default: "[MASK]", help: "word that stands for hidden words of texts", value: "WORD" },
  batch_size: EVALUATE.batch_size,
  columns: READING.columns,
  max_length: READING.max_length,
  tokenizer: READING.tokenizer,
  template: READING.template,
  dtype: HELD.dtype,
} as const satisfies Options;
