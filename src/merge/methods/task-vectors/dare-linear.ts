/**
 * DARE, linear: drop entries of each task vector at random, rescale the rest, and add them up.
 *
 * Yu et al., ICML 2024, https://arxiv.org/abs/2311.03099; parameters as mergekit's `dare_linear`, whose rescaling
 * matches the L1 norm (`rescale_norm: inverse-density` is the paper's).
 */
import { bernoulli } from "../../updates/sparsify.ts";
import { taskVectorLaws, taskVectorMethod } from "../../updates/task-vectors.ts";

export const method = taskVectorMethod({
  name: "dare_linear",
  title: "DARE (linear)",
  about: "drop entries of task vectors at random, rescale, add up",
  cite: "arXiv:2311.03099",
  laws: taskVectorLaws,
  sparsify: bernoulli,
  elect: false,
  normalize: false,
  rescale: true,
});
