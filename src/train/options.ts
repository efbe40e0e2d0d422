/** Options of the `train` script. */
import type { Options } from "../method/options.ts";
import { TEMPERATURE } from "../model/embedder.ts";
import { RUN } from "../run/training/options.ts";

export const TRAIN = {
  ...RUN,
  loss: {
    type: "'ce' | 'infonce'",
    default: "ce",
    help: "cross-entropy of tokens or labels; or, of pairs of texts, InfoNCE: which text of the batch belongs to the first",
  },
  temperature: {
    type: "number > 0",
    default: TEMPERATURE,
    with: { loss: "infonce" },
    help: "divides the cosines of pairs",
    value: "T",
  },
} as const satisfies Options;
