/** Options of DPO and of what builds on it. */
import type { Options } from "../../method/options.ts";

export const BETA = {
  type: "number > 0",
  default: 0.1,
  help: "how closely the model is held to the reference",
} as const;

export const DPO = {
  beta: BETA,
  divergence: {
    type: "'reverse-kl' | 'forward-kl' | 'js' | 'alpha'",
    default: "reverse-kl",
    help: "divergence that holds the model to the reference",
  },
  divergence_alpha: {
    type: "number",
    default: 0.5,
    with: { divergence: "alpha" },
    help: "order of the alpha divergence; 1 is reverse KL",
    value: "A",
  },
  tail_weight: {
    type: "0 <= number <= 1",
    was: ["ld_alpha"],
    help: "LD-DPO: weight of the tokens of the longer answer beyond the length of the shorter one; 1 when left out",
    value: "W",
  },
  wpo: {
    type: "boolean",
    default: false,
    help: "weigh pairs by how likely the model finds both answers, so that they count as if it had written them",
  },
} as const satisfies Options;
