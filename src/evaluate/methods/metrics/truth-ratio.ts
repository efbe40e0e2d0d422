/**
 * How much likelier wrong answers are than the right one in the same words. TOFU, Maini et al. 2024,
 * https://arxiv.org/abs/2401.06121
 *
 * TOFU's own report averages the probabilities of the wrong answers, not their losses: the details whose names end in
 * `of means`.
 */
import { defineMetric } from "../../../run/measuring/metric.ts";
import {
  forgetAggregate,
  likelihoods,
  meanLikelihood,
  retainAggregate,
  shareAggregate,
} from "../../measures/truth-ratios.ts";

export const method = defineMetric({
  name: "truth-ratio",
  title: "Truth ratio",
  about: "mean of min(TR, 1/TR), TR how much likelier a wrong answer is than the right one; 1 on forgotten rows",
  formula:
    "TR = exp(-mean loss of the wrong answers) / exp(-loss of the right one); the mean over rows of min(TR, 1/TR). 1 is best on rows to forget, 0 on rows to keep",
  reads: "rows with perturbed_answer (a list of wrong answers) and, if there is one, paraphrased_answer",
  cite: "arXiv:2401.06121",
  options: {},
  task: "causal-lm",
  needs: "truth",
  range: [0, 1],
  better: "none",
  laws: {
    rowOrder: true,
    duplicates: true,
    unscoredRows: true,
    otherGroups: "it is measured over whatever rows it is given",
    perfectModel: "it is 1 for a model that cannot tell right from wrong",
  },
  value: (rows) => forgetAggregate(likelihoods(rows)),
  details(rows) {
    const [losses, means] = [likelihoods(rows), likelihoods(rows, meanLikelihood)];
    return {
      "retain (max(0, 1 - TR))": retainAggregate(losses),
      "right share": shareAggregate(losses),
      "forget of means": forgetAggregate(means),
      "retain of means": retainAggregate(means),
    };
  },
});
