/** Options of `data shift-labels`. */
import type { Options } from "../../method/options.ts";

export const SHIFT_LABELS = {
  every: { type: "number.integer >= 1", required: true, help: "rows between two shifts", value: "K" },
  classes: { type: "number.integer >= 2", required: true, help: "classes, of labels from 0", value: "C" },
  shift: {
    type: "'swap' | 'permute'",
    default: "swap",
    help: "what a shift does: two labels change places, or all are dealt anew",
  },
  growth: {
    type: "number > 0",
    default: 1,
    help: "how many times as long as the one before every stretch between shifts is",
    value: "F",
  },
} as const satisfies Options;
