import { sharedGpu } from "../../support/gpu.ts";
import { underAttack } from "../adversarial-worlds.ts";
import { experimentOf } from "../experiment.ts";

export const experiment = experimentOf({
  title: "`merge gate`: an accurate and a robust model under attack",
  about: `Two perceptrons of digits, one of them trained against an adversary. Their probabilities are mixed, with fixed weights
from 0.6 to 0.9 and with a gate; the accurate model's logits are doubled. Attacks of 20 steps go through what is
attacked, the gate included. *Above the line* is how far the attacked accuracy lies above the straight line between the
two models at the same clean accuracy, at the best weight; *weights* has means of the weights in place of mixtures. Rows
are certified where a bound on how far the robust model's logits can move keeps its margin above what the accurate model
can take back.`,
  seeds: [1, 2, 3],
  tested: 2,
  long: true,
  figures: {
    "accurate, clean": {},
    "accurate, attacked": {},
    "robust, clean": {},
    "robust, attacked": {},
    "gated, clean": {},
    "gated, attacked": {},
    "mixed, above the line": { above: 0.05 },
    "weights, above the line": {},
    "gated, above the line": { above: 0.05 },
    "certified rows": { above: 0.05 },
    "certified rows that an attack breaks": { is: 0 },
  },
  run: async (seed) => underAttack(await sharedGpu(), seed),
});
