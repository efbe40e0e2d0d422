/** Options of `data numeric`. */
import type { Options } from "../../method/options.ts";

export const NUMERIC = {
  property: { type: "string", value: "KEY", default: "value", help: "key of a row that holds its number" },
  of: { type: "string", value: "KEY", default: "text", help: "key of a row that holds its text" },
  digits: {
    type: "string",
    value: "W.D",
    default: "3.2",
    help: "digits before the point, at most, and behind it: 3.2 for numbers up to 999.99",
  },
  ask: {
    type: "'number' | 'text'",
    default: "number",
    help: "what a row asks for: the number of its text, or a text of its number",
  },
  tag: { type: "string", value: "TEXT", help: "name of the number within rows; <KEY> when left out" },
} as const satisfies Options;
