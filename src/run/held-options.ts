/** How weights are held in memory that nothing trains. */
import { dtypeWord } from "../checkpoint/dtype.ts";
import type { Options } from "../method/options.ts";

const WORDS: Readonly<Record<string, string>> = {
  ...{ "4": "4bit", "4-bit": "4bit", nf4: "4bit", int4: "4bit", load_in_4bit: "4bit" },
  ...{ "8": "8bit", "8-bit": "8bit", int8: "8bit", load_in_8bit: "8bit" },
};

/** What stays codes on the GPU. */
export const LOAD_IN = {
  type: "'4bit' | '8bit' | 'stored'",
  spelling: (text: string) => WORDS[text.trim().toLowerCase()] ?? text,
  help: "frozen matrices of layers stay codes in memory: those of a quantized checkpoint as they are; others are rounded to NF4 (4bit) or to integers by row (8bit), or not (stored)",
} as const satisfies Options[string];

/** Options of scripts that run models without training them. */
export const HELD = {
  dtype: {
    type: "'f32' | 'bf16' | 'keep'",
    default: "keep",
    spelling: dtypeWord,
    help: "of weights in memory",
  },
  load_in: LOAD_IN,
  offload: {
    type: "boolean",
    default: false,
    decides: "nothing",
    help: "weights of layers stay on the disk and are read for every batch or token: for a model that does not fit",
  },
} as const satisfies Options;
