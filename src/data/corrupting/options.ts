/** Options of `data corrupt`. */
import type { Options } from "../../method/options.ts";

export const CORRUPT = {
  corruption: {
    type: "string",
    kind: "corruption",
    required: true,
    help: "what happens to the rows",
  },
  severity: { type: "1 <= number.integer <= 5", default: 3, help: "how bad it is, 1 to 5", value: "N" },
  shape: {
    type: "number[]",
    value: "C,H,W",
    help: "of images: channels, height and width; one channel and a square when left out",
  },
  range: { type: "number[]", default: [0, 1], value: "LOW,HIGH", help: "of the values of x" },
  field: { type: "string", value: "KEY", help: "key of a row that is corrupted; x, or text for words" },
  mask: { type: "string", default: "[MASK]", help: "word that stands for words which are hidden", value: "WORD" },
} as const satisfies Options;
