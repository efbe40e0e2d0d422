/**
 * TIES-Merging: keep the largest values of each task vector, elect one sign per coordinate, average the values that
 * carry it.
 *
 * Yadav et al., NeurIPS 2023, https://arxiv.org/abs/2306.01708, Algorithm 1; parameters as mergekit's `ties`.
 * Of values equal to the trim threshold those of lower index are kept, so exactly floor(density n) survive.
 */
import { magnitude } from "../../updates/sparsify.ts";
import { taskVectorLaws, taskVectorMethod } from "../../updates/task-vectors.ts";

export const method = taskVectorMethod({
  name: "ties",
  title: "TIES-Merging",
  about: "trim task vectors, elect one sign per coordinate, average what agrees",
  cite: "arXiv:2306.01708",
  laws: taskVectorLaws,
  sparsify: magnitude,
  elect: true,
  normalize: true,
  rescale: false,
});
