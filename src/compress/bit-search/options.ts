/** Options of `compress search`. */
import type { Options } from "../../method/options.ts";
import { CALIBRATION, COMPRESS } from "../options.ts";

export const BIT_SEARCH = {
  budget: {
    type: "string",
    required: true,
    help: "3.1bits a weight of the matrices on average, or the size of all tensors: 4GB",
    value: "SIZE",
  },
  bits: { type: "string[]", help: "what a matrix may have; 2,3,4,8 when left out", value: "N,N" },
  by: {
    type: "'error' | 'loss'",
    default: "error",
    help: "what bits cost: the error E of the matrix, or what the loss rises by with it alone rounded",
  },
  quant: { ...COMPRESS.quant, default: "rtn", help: "how weights are rounded" },
  group: { type: COMPRESS.group.type, default: COMPRESS.group.default, help: COMPRESS.group.help, value: "N" },
  symmetric: { type: COMPRESS.symmetric.type, default: false, help: COMPRESS.symmetric.help },
  only: COMPRESS.only,
  ignore: COMPRESS.ignore,
  ...CALIBRATION,
} as const satisfies Options;
