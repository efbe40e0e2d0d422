/** Options of `unlearn requests`. */
import type { Options } from "../method/options.ts";

export const REQUESTS = {
  request: {
    type: "string[]",
    required: true,
    help: "rows of a request; given once for each, in the order in which they come",
    value: "FILE",
  },
  by: {
    type: "string",
    required: true,
    help: "how each is unlearnt: a method and options of unlearn but --forget and -o; @first is the model that is named, @last that of the request before",
    value: "METHOD OPTIONS",
  },
  neighbours: { type: "string[]", help: "rows near to those of the requests, that are measured", value: "FILE" },
  general: { type: "string[]", help: "other rows that are measured, by which erosion is told", value: "FILE" },
  metric: {
    type: "string",
    default: "probability",
    help: "what is measured of all rows after every request",
    value: "NAME",
  },
} as const satisfies Options;
