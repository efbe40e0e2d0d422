/** Options of `data gpicl`. */
import type { Options } from "../../method/options.ts";

export const GPICL = {
  tasks: {
    type: "1 <= number.integer <= 16777216",
    default: 65536,
    value: "N",
    help: "tasks that rows are drawn of, each a projection of the inputs and an order of the classes",
  },
  unseen: { type: "boolean", default: false, help: "tasks that are none of those, as many, to test on" },
  pairs: {
    type: "1 <= number.integer <= 4096",
    default: 16,
    value: "N",
    help: "examples of a row, each with its class",
  },
  dims: { type: "1 <= number.integer <= 1024", default: 4, value: "D", help: "numbers that an input is projected to" },
  bins: { type: "2 <= number.integer <= 4096", default: 16, value: "B", help: "tokens that a number is rounded to" },
  size: { type: "number.integer >= 1", default: 1000, value: "N", help: "rows" },
  unpermuted: {
    type: "0 <= number <= 1",
    default: 0,
    value: "SHARE",
    help: "share of the tasks whose classes keep their order",
  },
  shuffle_labels: {
    type: "boolean",
    default: false,
    help: "a control: the classes of a row change places, so that its examples say nothing",
  },
} as const satisfies Options;
