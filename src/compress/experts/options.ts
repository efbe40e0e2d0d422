/** Options of `compress experts`. */
import { GGUF } from "../../checkpoint/gguf/write/options.ts";
import type { Options } from "../../method/options.ts";
import { CALIBRATION, WRITTEN } from "../options.ts";

export const EXPERTS = {
  keep: { type: "number.integer >= 1", help: "experts of every layer that stay", value: "K" },
  by: {
    type: "'use' | 'loss'",
    default: "use",
    help: "which stay: those that take most tokens, or without which the loss rises most",
  },
  recipe: {
    type: "string",
    value: "FILE",
    help: "lines that say which experts of each layer stay, as --write-recipe makes them; nothing is measured",
  },
  write_recipe: {
    type: "string",
    writes: "text",
    value: "FILE",
    help: "write which experts of each layer stay, with what was measured",
  },
  ...CALIBRATION,
  shards: WRITTEN.shards,
  ...GGUF,
} as const satisfies Options;
