import { sharedGpu } from "../../support/gpu.ts";
import { experimentOf } from "../experiment.ts";
import { accurateAndRobust } from "../mixture-worlds.ts";

export const experiment = experimentOf({
  title: "`smooth-mix`: an accurate and a robust model, mixed",
  about: `A model of clean digits, and one that went on from it with noisy ones. Their probabilities are mixed with weights alpha of the
robust one from 0.2 to 0.8. *Above the line* is how far the noisy accuracy lies above the straight line between the two models at the
same clean accuracy, at the best alpha; *weights* has means of the weights in place of the mixture, which do as well between two
models of which one goes on from the other. A student learns the mixture at alpha 0.7. The noise is random: no input is attacked.`,
  seeds: [1, 2, 3],
  tested: 2,
  figures: {
    "accurate, clean": {},
    "accurate, noisy": {},
    "robust, clean": {},
    "robust, noisy": {},
    "mixed, above the line": { above: 0.05 },
    "mixed − weights, above the line": {},
    "student − accurate, noisy": { above: 0 },
    "student − robust, clean": { above: 0 },
  },
  run: async (seed) => accurateAndRobust(await sharedGpu(), seed),
});
