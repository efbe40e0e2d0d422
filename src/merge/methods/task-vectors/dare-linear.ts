/**
 * DARE, linear: drop entries of each task vector at random, rescale the rest, and add them up.
 *
 * Yu et al., ICML 2024, https://arxiv.org/abs/2311.03099; parameters as mergekit's `dare_linear`, whose rescaling matches the
 * L1 norm (`rescale_norm: inverse-density` is the paper's).
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
  name: "dare_linear",
  title: "DARE (linear)",
  about: "drop entries of task vectors at random, rescale, add up",
  cite: "arXiv:2311.03099",
  models: [1, Number.POSITIVE_INFINITY],
  base: "required",
  heights: "base",
  passes: "many",
  options: { ...taskVectorOptions, ...densityOption, normalize: normalizeOption(false), ...rescaleOptions(true) },

  /** Two passes: norms, merge. Masks are functions of (seed, tensor name, model, index) and are never stored. */
  merge: mergeTaskVectors(bernoulli, false),
});
