/** Options of `compress extract`. */
import { GGUF } from "../checkpoint/gguf/write/options.ts";
import { READING } from "../data/options.ts";
import type { Options } from "../method/options.ts";
import { CALIBRATION, WRITTEN } from "./options.ts";

export const EXTRACT = {
  width: {
    type: "0 < number <= 1",
    help: "share of the heads and hidden units of every block that stays: the first ones",
    value: "F",
  },
  depth: { type: "number.integer >= 1", help: "number of blocks that stay: the first ones", value: "N" },
  prefer: {
    type: "string[]",
    help: "of a classifier of several tasks: how much each counts, by the group of --data that has its rows",
    value: "NAME=P",
  },
  budget: {
    type: "number > 0",
    needs: "prefer",
    help: "operations that a row may cost, through the trunk and all tasks; as many as the model's own when left out",
    value: "FLOPS",
  },
  widths: {
    type: "number[]",
    needs: "prefer",
    help: "shares of units that trunk and decoders may have; 1,0.75,0.5 when left out",
    value: "F,F",
  },
  data: {
    type: "string[]",
    needs: "prefer",
    help: "rows on which settings are compared, a group for each task",
    value: "NAME=FILE",
  },
  batch_size: CALIBRATION.batch_size,
  ...READING,
  shards: WRITTEN.shards,
  ...GGUF,
} as const satisfies Options;
