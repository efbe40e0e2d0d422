/** Options of `data augment`. */
import type { Options } from "../../method/options.ts";

export const AUGMENT = {
  rate: {
    type: "0 <= number <= 1",
    default: 0.1,
    help: "share of the words that an operation changes; 0 makes no copy",
  },
  copies: {
    type: "0 <= number.integer <= 100",
    default: 2,
    value: "N",
    help: "copies of each row, by one operation each",
  },
  operation: {
    type: "('replace' | 'insert' | 'swap' | 'delete' | 'switch')[]",
    help: "operations that copies are made by; all that are possible when left out",
  },
  synonyms: {
    type: "string",
    value: "FILE",
    help: 'JSON of words and their synonyms, {"big": ["large", "huge"]}; replace and insert need it',
  },
  translations: {
    type: "string",
    value: "FILE",
    help: 'JSON of phrases and their translations, {"big dog": ["großer Hund"]}, by which switch mixes two languages within sentences',
  },
  translation_field: {
    type: "string",
    value: "KEY",
    help: "key of a row that holds the whole text in the other language, by which switch mixes whole sentences; as many as the text has",
  },
  switch_ratio: {
    type: "0 <= number <= 1",
    default: 0.2,
    value: "Q",
    help: "share of the words, or sentences, that switch replaces",
  },
  field: { type: "string", default: "text", value: "KEY", help: "key of a row that holds the sentence" },
} as const satisfies Options;
