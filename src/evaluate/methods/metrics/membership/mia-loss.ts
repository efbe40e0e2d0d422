/** Membership by the mean loss. Yeom et al., CSF 2018, https://arxiv.org/abs/1709.01604 */
import { byLoss } from "../../../measures/membership.ts";
import { membershipMetric } from "../../../membership-metric.ts";

export const method = membershipMetric({
  name: "mia-loss",
  title: "Membership by loss",
  about: "the mean loss",
  formula: "chance that a row of holdout has a larger mean loss than one of forget, equals counting half",
  reads: "the tokens that count of the groups forget and holdout",
  cite: "arXiv:1709.01604",
  score: byLoss,
});
