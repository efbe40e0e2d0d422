/** Membership by the least likely tokens. Shi et al., ICLR 2024, https://arxiv.org/abs/2310.16789 */
import { byMinK } from "../../../measures/membership.ts";
import { leastTokensMetric } from "../../../membership-metric.ts";

export const method = leastTokensMetric({
  name: "mia-min-k",
  title: "Membership by min-k",
  about: "the least likely tokens (--min-k), without the end of the answer",
  cite: "arXiv:2310.16789",
  score: byMinK,
});
