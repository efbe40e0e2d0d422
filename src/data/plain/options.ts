/** Options of `data plain`. */
import type { Options } from "../../method/options.ts";

export const PLAIN = {
  columns: { type: "string", help: "names of columns that are called otherwise, as everywhere", value: "A=B,..." },
  between: { type: "string", default: "\n", help: "what stands between a prompt and its answer", value: "TEXT" },
  rejected: {
    type: "string",
    help: "of preferences: the rejected answer too, after this text; left out otherwise",
    value: "TEXT",
  },
} as const satisfies Options;
