/** Options of `report`. */
import type { Options } from "../method/options.ts";

export const REPORT = {
  svg: { type: "boolean", default: false, help: "curves as an SVG figure" },
  png: { type: "boolean", default: false, help: "curves as a PNG figure" },
  csv: { type: "boolean", default: false, help: "all points as CSV; of evaluations alone, all their numbers" },
  md: { type: "boolean", default: false, help: "last values, options that differ and evaluations as Markdown" },
  tex: { type: "boolean", default: false, help: "the same as LaTeX" },
  follow: {
    type: "boolean",
    default: false,
    help: "read logs of runs at work, until these end: their state and curve",
  },
  curve: { type: "string", needs: "follow", value: "NAME", help: "what is followed; the loss when left out" },
  every: { type: "number > 0", default: 1, needs: "follow", value: "SECONDS", help: "between two looks at the logs" },
  ascii: { type: "boolean", default: false, needs: "follow", help: "curves of plain letters" },
  axis: { type: "'step' | 'tokens' | 'seconds'", default: "step", help: "what a figure's curves run along" },
} as const satisfies Options;
