/** Membership by the mean loss. Yeom et al., CSF 2018, https://arxiv.org/abs/1709.01604 */
import { byLoss } from "../../../measures/membership.ts";
import { membershipMetric } from "../../../membership-metric.ts";

export const method = membershipMetric({
  name: "mia-loss",
  title: "Membership by loss",
  about: "the mean loss",
  cite: "arXiv:1709.01604",
  score: byLoss,
});
