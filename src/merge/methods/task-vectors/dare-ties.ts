/**
 * DARE with TIES: drop entries of each task vector at random, rescale the rest, elect one sign per coordinate, add what agrees.
 *
 * Yu et al., ICML 2024, https://arxiv.org/abs/2311.03099, with the election of https://arxiv.org/abs/2306.01708; parameters as
 * mergekit's `dare_ties`.
 */
import { mergeMethod } from "../../contract.ts";
import {
  bernoulli,
  densityOption,
  mergeTaskVectors,
  normalizeOption,
  rescaleOptions,
  taskVectorOptions,
} from "../../updates/task-vectors.ts";

export const method = mergeMethod({
  name: "dare_ties",
  title: "DARE (TIES)",
  about: "drop entries of task vectors at random, rescale, elect signs",
  cite: "arXiv:2311.03099",
  models: [1, Number.POSITIVE_INFINITY],
  base: "required",
  heights: "base",
  passes: "many",
  options: { ...taskVectorOptions, ...densityOption, normalize: normalizeOption(false), ...rescaleOptions(true) },

  /** Two passes: norms, merge. Masks are functions of (seed, tensor name, model, index) and are never stored. */
  merge: mergeTaskVectors(bernoulli, true),
});
