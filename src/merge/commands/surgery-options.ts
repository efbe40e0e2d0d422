/** Options of the commands that change the vocabulary of a model. */
import { GGUF } from "../../checkpoint/gguf/write/options.ts";
import { READING } from "../../data/options.ts";
import type { Options } from "../../method/options.ts";

/** How results are written. */
const WRITTEN = {
  shards: { type: "number.integer >= 1", decides: "storage", value: "N", help: "number of files in the output folder" },
  shard_size: {
    type: "string",
    default: "5GB",
    decides: "storage",
    value: "SIZE",
    help: "largest file in the output folder",
  },
  ...GGUF,
} as const satisfies Options;

const PAD = {
  type: "number.integer >= 1",
  value: "N",
  help: "rows added to the tables of tokens, up to a multiple",
} as const;

const WHERE = "'no' | 'yes' | 'embed' | 'lm_head'";

/** Options of `merge transplant`. */
export const TRANSPLANT = {
  approximate: {
    type: "string",
    kind: "approximation",
    default: "omp",
    help: "how rows of tokens are made that the model lacks",
  },
  prefix_match: {
    type: WHERE,
    default: "no",
    help: "a token that the model lacks takes the row of the longest beginning of its text: in no table, both, one",
  },
  byte_match: {
    type: WHERE,
    default: "no",
    help: "a character takes the row of its byte token, and the other way round",
  },
  new_vocab_noise: {
    type: "number >= 0",
    default: 0,
    help: "standard deviation of noise on approximated rows",
    value: "S",
  },
  new_vocab_scale: { type: "number", default: 1, help: "approximated rows times this, after noise", value: "S" },
  pad_to_multiple_of: PAD,
  ...WRITTEN,
} as const satisfies Options;

/** Options of `merge trim`. */
export const TRIM = {
  data: {
    type: "string[]",
    help: "rows whose tokens stay, name=path for each group",
    value: "FILE",
  },
  columns: READING.columns,
  template: READING.template,
  turns: READING.turns,
  min_count: {
    type: "number.integer >= 1",
    default: 1,
    value: "N",
    help: "how often a token must stand in the rows; rarer ones are spelled by smaller ones",
  },
  keep_tokens: {
    type: "string",
    value: "FILE",
    help: "a list of tokens that stay too, one a line: as the vocabulary spells them, or as text",
  },
  pad_to_multiple_of: PAD,
  ...WRITTEN,
} as const satisfies Options;
