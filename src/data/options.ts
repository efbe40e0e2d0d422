/** Options of every script that reads rows: which columns they are made of, and how their text becomes tokens. */
import type { Options } from "../method/options.ts";

export const READING = {
  columns: {
    type: "string",
    help: "columns of the data by the names of rows: prompt=question,completion=reply",
    value: "NAME=COLUMN,...",
  },
  tokenizer: {
    type: "string",
    help: "byte, or a folder with tokenizer.json; the model's own when left out",
    value: "NAME",
  },
  template: {
    type: "'auto' | 'plain'",
    default: "auto",
    help: "chat template for rows of messages; auto: the model's",
  },
  turns: {
    type: "'all' | 'last' | 'each'",
    default: "all",
    help: "answers of a conversation that count: all, the last, or each in a sequence that ends with it",
  },
  max_length: {
    type: "number.integer >= 1",
    help: "most tokens of a row; the model's when left out, at most 1024",
    value: "N",
  },
  token_cache: {
    type: "'auto' | 'off'",
    default: "auto",
    decides: "nothing",
    help: "keep the tokens of files of 8 MB or more on disk, for data larger than memory and the next run",
  },
  overflow: {
    type: "'truncate' | 'split' | 'refuse'",
    help: "what happens to longer rows; truncate, with a warning, when left out",
  },
} as const satisfies Options;
