/**
 * DELLA: drop entries of each task vector at random, small ones more often; rescale, elect one sign per coordinate, average
 * what agrees.
 *
 * Deep et al., 2024, https://arxiv.org/abs/2406.11617; parameters as mergekit's `della`, which normalizes by default.
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
  name: "della",
  title: "DELLA",
  about: "drop small entries of task vectors more often than large ones, rescale, elect signs",
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
    normalize: normalizeOption(true),
    ...rescaleOptions(true),
  },

  /** Three passes: ranks, norms, merge. */
  merge: mergeTaskVectors(ranked, true),
});
