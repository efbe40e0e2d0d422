/**
 * Model Breadcrumbs with TIES: drop outliers and small values of each task vector, elect one sign per coordinate, add what
 * agrees.
 *
 * Davari and Belilovsky, ECCV 2024, https://arxiv.org/abs/2312.06795, with the election of https://arxiv.org/abs/2306.01708;
 * parameters as mergekit's `breadcrumbs_ties`.
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
  name: "breadcrumbs_ties",
  title: "Model Breadcrumbs (TIES)",
  about: "drop the largest and the smallest values of task vectors, elect signs",
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
  merge: mergeTaskVectors(outliers, true),
});
