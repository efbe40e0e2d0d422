/** Options of `compress upcycle`. */
import type { Options } from "../method/options.ts";
import { WRITTEN } from "./options.ts";

export const UPCYCLE = {
  experts: { type: "number.integer >= 1", default: 4, help: "experts of each block", value: "E" },
  top_k: { type: "number.integer >= 1", default: 1, help: "experts that a token goes to", value: "K" },
  router_std: {
    type: "number >= 0",
    default: 0.02,
    help: "standard deviation of the routers' weights",
    value: "S",
  },
  shards: WRITTEN.shards,
} as const satisfies Options;
