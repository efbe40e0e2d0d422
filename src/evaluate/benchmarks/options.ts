/** Options of `evaluate benchmark`. */
import { READING } from "../../data/options.ts";
import type { Options } from "../../method/options.ts";
import { HELD } from "../../run/held-options.ts";

export const BENCHMARK = {
  suite: {
    type: "'tofu' | 'muse' | 'wmdp' | 'rwku'",
    default: "tofu",
    help: "whose files they are, and whose columns the table has",
  },
  files: {
    type: "string",
    required: true,
    help: "folder of the benchmark's own files, .jsonl, .json, .parquet or .csv, under the names that its authors gave them",
    value: "DIR",
  },
  split: {
    type: "string",
    help: "which forget set of TOFU: 10 for forget10; 10, 05 or 01, the first that is there, when left out",
    value: "NAME",
  },
  target: { type: "string", help: "the model before it forgot, as the first row of the table", value: "MODEL" },
  gold: { type: "string", help: "the model that never saw what is to be forgotten, as the last row", value: "MODEL" },
  gold_log: {
    type: "string",
    help: "in place of --gold: the log of that model, TOFU_EVAL.json as open-unlearning writes it",
    value: "FILE",
  },
  cache: {
    type: "string",
    help: "folder of what was found before: read where weights, rows, settings and version are the same, to the bit",
    value: "DIR",
  },
  batch_size: { type: "number.integer >= 1", default: 16, help: "rows that are run at once", value: "N" },
  max_tokens: {
    type: "number.integer >= 1",
    help: "most tokens of a generated answer; the benchmark's own when left out",
    value: "N",
  },
  max_length: READING.max_length,
  tokenizer: READING.tokenizer,
  template: READING.template,
  ...HELD,
} as const satisfies Options;
