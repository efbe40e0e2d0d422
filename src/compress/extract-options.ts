/** Options of `compress extract`. */
import { GGUF } from "../checkpoint/gguf/write/options.ts";
import type { Options } from "../method/options.ts";
import { WRITTEN } from "./options.ts";

export const EXTRACT = {
  width: {
    type: "0 < number <= 1",
    help: "share of the heads and hidden units of every block that stays: the first ones",
    value: "F",
  },
  depth: { type: "number.integer >= 1", help: "number of blocks that stay: the first ones", value: "N" },
  shards: WRITTEN.shards,
  ...GGUF,
} as const satisfies Options;
