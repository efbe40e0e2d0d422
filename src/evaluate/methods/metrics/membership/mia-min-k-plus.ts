/**
 * Membership by the tokens that are least likely for what the model expects at their place: log-probabilities less their mean
 * over all outputs, divided by their standard deviation. Min-K%++, Zhang et al. 2024, https://arxiv.org/abs/2404.02936
 */
import { type Attack, logProbabilities, lowest, membershipMetric } from "../../../membership.ts";

export const minKPlus: Attack = (row, { minK }) => {
  const { moments } = row;
  const standardised = logProbabilities(row).map(
    (logP, i) => (logP - moments![2 * i]!) / Math.sqrt(Math.max(moments![2 * i + 1]!, 1e-6)),
  );
  return lowest(standardised, minK);
};

export const method = membershipMetric({
  name: "mia-min-k-plus",
  title: "Membership by min-k++",
  about: "the least likely tokens, standardised by what could have stood at their place (min-k++)",
  cite: "arXiv:2404.02936",
  needs: "moments",
  attack: minKPlus,
});
