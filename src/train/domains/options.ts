/** Options of `train` for rows of another domain, whose features are to be like those of the training's. */
import type { Options } from "../../method/options.ts";

export const MATCH = {
  match_domain: {
    type: "string",
    help: "rows of another domain, whose labels are not read: what the head reads of them is to look as that of --data",
    value: "FILE",
  },
  match_by: {
    type: "'mmd' | 'dann' | 'both'",
    default: "both",
    needs: "match_domain",
    help: "by the distance of samples (mmd), or against a head that tells the domains apart (dann)",
  },
  match_weight: {
    type: "number >= 0",
    default: 1,
    needs: "match_domain",
    help: "largest weight of the match, towards which it grows from 0 with the training",
    value: "L",
  },
} as const satisfies Options;
