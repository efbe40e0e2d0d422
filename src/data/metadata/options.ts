/** Options of `data metadata`. */
import type { Options } from "../../method/options.ts";

export const METADATA = {
  field: { type: "string", value: "KEY", help: "key of a row that holds its metadata, such as url" },
  constant: { type: "string", value: "TEXT", help: "the same metadata for all rows, in place of --field" },
  written_as: {
    type: "'value' | 'host' | 'id'",
    default: "value",
    help: "how: as it is, the host of an address, or eight digits that say nothing",
  },
  layout: {
    type: "string",
    default: "URL: {v}\n\n",
    value: "TEXT",
    help: "what stands before a document; {v} is the metadata",
  },
  part: {
    type: "'marked' | 'plain' | 'all'",
    default: "all",
    help: "marked: rows before the cool-down, with metadata; plain: those of the cool-down, without; all of them with",
  },
  cooldown: { type: "0 <= number <= 1", default: 0.1, help: "share of the rows that are kept for the cool-down" },
} as const satisfies Options;
