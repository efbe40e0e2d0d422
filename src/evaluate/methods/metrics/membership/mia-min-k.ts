/** Membership by the least likely tokens. Shi et al., ICLR 2024, https://arxiv.org/abs/2310.16789 */
import { membershipMetric, minK } from "../../../membership.ts";

export const method = membershipMetric({
  name: "mia-min-k",
  title: "Membership by min-k",
  about: "the least likely tokens (--min-k), without the end of the answer",
  cite: "arXiv:2310.16789",
  attack: minK,
});
