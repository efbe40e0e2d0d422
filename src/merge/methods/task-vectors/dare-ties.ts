/**
 * DARE with TIES: drop entries of each task vector at random, rescale the rest, elect one sign per coordinate, add what
 * agrees.
 *
 * Yu et al., ICML 2024, https://arxiv.org/abs/2311.03099, with the election of https://arxiv.org/abs/2306.01708;
 * parameters as mergekit's `dare_ties`.
 */
import { bernoulli } from "../../updates/sparsify.ts";
import { taskVectorLaws, taskVectorMethod } from "../../updates/task-vectors.ts";

export const method = taskVectorMethod({
  name: "dare_ties",
  title: "DARE (TIES)",
  about: "drop entries of task vectors at random, rescale, elect signs",
  cite: "arXiv:2311.03099",
  laws: taskVectorLaws,
  sparsify: bernoulli,
  elect: true,
  normalize: false,
  rescale: true,
});
