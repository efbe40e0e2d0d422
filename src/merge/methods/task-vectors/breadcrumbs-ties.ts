/**
 * Model Breadcrumbs with TIES: drop outliers and small values of each task vector, elect one sign per coordinate, add
 * what agrees.
 *
 * Davari and Belilovsky, ECCV 2024, https://arxiv.org/abs/2312.06795, with the election of
 * https://arxiv.org/abs/2306.01708; parameters as mergekit's `breadcrumbs_ties`.
 */
import { outliers } from "../../updates/sparsify-by-outliers.ts";
import { taskVectorLaws, taskVectorMethod } from "../../updates/task-vectors.ts";

export const method = taskVectorMethod({
  name: "breadcrumbs_ties",
  title: "Model Breadcrumbs (TIES)",
  about: "drop the largest and the smallest values of task vectors, elect signs",
  cite: "arXiv:2312.06795",
  laws: taskVectorLaws,
  sparsify: outliers,
  elect: true,
  normalize: false,
  rescale: false,
});
