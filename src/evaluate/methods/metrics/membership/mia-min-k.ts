/** Membership by the least likely tokens. Shi et al., ICLR 2024, https://arxiv.org/abs/2310.16789 */
import { byMinK } from "../../../measures/membership.ts";
import { leastTokensMetric } from "../../../membership-metric.ts";

export const method = leastTokensMetric({
  name: "mia-min-k",
  title: "Membership by min-k",
  about: "the least likely tokens (--min-k), without the end of the answer",
  formula:
    "chance that a row of holdout has a larger score than one of forget; a row's is minus the mean log-probability of the share --min-k of its tokens that are least likely",
  reads: "the tokens that count of the groups forget and holdout, without the end of the text; the option --min-k",
  cite: "arXiv:2310.16789",
  score: byMinK,
});
