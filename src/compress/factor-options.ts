/** Options of `compress factor`, besides those of a method. */
import type { Options } from "../method/options.ts";
import { CALIBRATION, WRITTEN } from "./options.ts";

export const FACTOR = {
  rank: { type: "number.integer >= 1", help: "columns of each factor, at most the shorter side", value: "R" },
  parameters: {
    type: "0 < number <= 1",
    help: "share of a matrix's values that its two factors may hold, in the place of --rank",
    value: "SHARE",
  },
  only: {
    type: "string[]",
    help: "matrices that are factored, by pattern; those of linear layers in blocks, but routers, when left out",
    value: "GLOB",
  },
  ignore: { type: "string[]", help: "matrices that stay as they are, by pattern", value: "GLOB" },
  ...CALIBRATION,
  ...WRITTEN,
} as const satisfies Options;
