/** Options of `compress width`. */
import { GGUF } from "../../checkpoint/gguf/write/options.ts";
import type { Options } from "../../method/options.ts";
import { CALIBRATION, WRITTEN } from "../options.ts";

export const WIDTH = {
  heads: {
    type: "0 < number <= 1",
    help: "share of the heads of every block that stays; heads of keys and values with the query heads that read them",
    value: "F",
  },
  neurons: {
    type: "0 < number <= 1",
    help: "share of the hidden units of every feed-forward network, or layer of a perceptron, that stays",
    value: "F",
  },
  by: {
    type: "'magnitude' | 'activation' | 'taylor'",
    default: "magnitude",
    help: "what tells which stay: their weights, what they add on rows, or how much the loss hangs on them",
  },
  ...CALIBRATION,
  shards: WRITTEN.shards,
  ...GGUF,
} as const satisfies Options;
