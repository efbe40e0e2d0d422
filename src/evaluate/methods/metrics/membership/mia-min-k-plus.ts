/**
 * Membership by the tokens that are least likely for what the model expects at their place. Min-K%++, Zhang et al.
 * 2024, https://arxiv.org/abs/2404.02936
 */
import { byMinKPlus } from "../../../measures/membership.ts";
import { leastTokensMetric } from "../../../membership-metric.ts";

export const method = leastTokensMetric({
  name: "mia-min-k-plus",
  title: "Membership by min-k++",
  about: "the least likely tokens after standardising (min-k++)",
  formula:
    "as mia-min-k, but every log-probability less the mean over all outputs at its place and divided by their standard deviation",
  reads: "the tokens that count of the groups forget and holdout, without the end of the text; the option --min-k",
  cite: "arXiv:2404.02936",
  needs: "moments",
  score: byMinKPlus,
});
