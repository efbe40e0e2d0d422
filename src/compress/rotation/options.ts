/** Options of `compress rotate`. */
import type { Options } from "../../method/options.ts";
import { WRITTEN } from "../options.ts";

export const ROTATE = {
  heads: {
    type: "boolean",
    default: true,
    help: "turn the values of every head, and what reads them, too",
  },
  ...WRITTEN,
  out_dtype: { ...WRITTEN.out_dtype, help: "of all weights; as the model stores them when left out" },
} as const satisfies Options;
