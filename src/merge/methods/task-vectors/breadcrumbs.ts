/**
 * Model Breadcrumbs: drop the outliers of each task vector and its small values, and add up what is left.
 *
 * Davari and Belilovsky, ECCV 2024, https://arxiv.org/abs/2312.06795, parameters as mergekit's `breadcrumbs`.
 */
import { mergeMethod } from "../../contract.ts";
import { gammaOption, outliers } from "../../updates/sparsify-outliers.ts";
import {
  densityOption,
  mergeTaskVectors,
  normalizeOption,
  rescaleOptions,
  taskVectorOptions,
} from "../../updates/task-vectors.ts";

export const method = mergeMethod({
  name: "breadcrumbs",
  title: "Model Breadcrumbs",
  about: "drop the largest and the smallest values of task vectors, add up the rest",
  cite: "arXiv:2312.06795",
  models: [1, Number.POSITIVE_INFINITY],
  base: "required",
  heights: "base",
  passes: "many",
  options: {
    ...taskVectorOptions,
    ...densityOption,
    ...gammaOption,
    normalize: normalizeOption(false),
    ...rescaleOptions(false),
  },

  /** Three passes: sample, count, merge. */
  merge: mergeTaskVectors(outliers, false),
});
