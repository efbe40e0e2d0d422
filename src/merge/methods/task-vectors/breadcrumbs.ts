/**
 * Model Breadcrumbs: drop the outliers of each task vector and its small values, and add up what is left.
 *
 * Davari and Belilovsky, ECCV 2024, https://arxiv.org/abs/2312.06795, parameters as mergekit's `breadcrumbs`.
 */
import { outliers } from "../../updates/sparsify-by-outliers.ts";
import { taskVectorLaws, taskVectorMethod } from "../../updates/task-vectors.ts";

export const method = taskVectorMethod({
  name: "breadcrumbs",
  title: "Model Breadcrumbs",
  about: "drop the largest and the smallest values of task vectors, add up the rest",
  cite: "arXiv:2312.06795",
  laws: taskVectorLaws,
  sparsify: outliers,
  elect: false,
  normalize: false,
  rescale: false,
});
