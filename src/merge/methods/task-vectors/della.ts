/**
 * DELLA: drop entries of each task vector at random, small ones more often; rescale, elect one sign per coordinate,
 * average what agrees.
 *
 * Deep et al., 2024, https://arxiv.org/abs/2406.11617; parameters as mergekit's `della`, which normalizes by default.
 * Rescaling matches the L1 norm of the task vector, where the paper divides each entry by its chance.
 */
import { magPrune } from "../../updates/sparsify-by-rank.ts";
import { taskVectorLaws, taskVectorMethod } from "../../updates/task-vectors.ts";

export const method = taskVectorMethod({
  name: "della",
  title: "DELLA",
  about: "drop small entries of task vectors more often than large ones, rescale, elect signs",
  cite: "arXiv:2406.11617",
  laws: taskVectorLaws,
  sparsify: magPrune,
  elect: true,
  normalize: true,
  rescale: true,
});
