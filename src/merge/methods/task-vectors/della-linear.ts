/**
 * DELLA, linear: drop entries of each task vector at random, small ones more often; rescale the rest and add them up.
 *
 * Deep et al., 2024, https://arxiv.org/abs/2406.11617; parameters as mergekit's `della_linear`.
 * Rescaling matches the L1 norm of the task vector, where the paper divides each entry by its chance.
 */
import { mergeMethod } from "../../contract.ts";
import { epsilonOption, ranked } from "../../updates/sparsify-ranked.ts";
import {
  densityOption,
  mergeTaskVectors,
  normalizeOption,
  rescaleOptions,
  taskVectorOptions,
} from "../../updates/task-vectors.ts";

export const method = mergeMethod({
  name: "della_linear",
  title: "DELLA (linear)",
  about: "drop small entries of task vectors more often than large ones, rescale, add up",
  cite: "arXiv:2406.11617",
  models: [1, Number.POSITIVE_INFINITY],
  base: "required",
  heights: "base",
  passes: "many",
  scratch: 1,
  options: {
    ...taskVectorOptions,
    ...densityOption,
    ...epsilonOption,
    normalize: normalizeOption(false),
    ...rescaleOptions(true),
  },

  /** Three passes: ranks, norms, merge. */
  merge: mergeTaskVectors(ranked, false),
});
