/** Membership by the mean loss. Yeom et al., CSF 2018, https://arxiv.org/abs/1709.01604 */

import { meanLoss } from "../../../contract.ts";
import { membershipMetric } from "../../../membership.ts";

export const method = membershipMetric({
  name: "mia-loss",
  title: "Membership by loss",
  about: "the mean loss",
  cite: "arXiv:1709.01604",
  attack: meanLoss,
});
