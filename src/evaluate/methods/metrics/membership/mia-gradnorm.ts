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
  formula:
    "chance that a row of holdout has a larger gradient than one of forget, equals counting half; a row's is the mean over the weights' tensors of the 2-norm of the gradient of its mean loss",
  reads: "the tokens that count of the groups forget and holdout",
  cite: "arXiv:2402.17012",
  needs: "gradient",
  score: ({ gradientNorm = Number.NaN }) => gradientNorm,
});
