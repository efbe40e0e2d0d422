/**
 * Membership by how strongly a row pulls at the weights: the gradient of its mean loss, the mean over the weights'
 * tensors of the 2-norm of each. What a model was trained on pulls less. Wang et al. 2024,
 * https://arxiv.org/abs/2402.17012
 */
import { membershipMetric } from "../../../membership-metric.ts";

export const method = membershipMetric({
  name: "mia-gradnorm",
  title: "Membership by gradient norm",
  about: "the norm of the row's gradient, one backward pass a row",
  cite: "arXiv:2402.17012",
  needs: "gradient",
  score: ({ gradientNorm = Number.NaN }) => gradientNorm,
});
