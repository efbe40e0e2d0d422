/**
 * Probability of the right answer in other words. Where a row has several paraphrases, their probabilities are
 * averaged, as OpenUnlearning does; the detail `of mean loss` averages their losses before the exponential.
 */
import { defineMetric } from "../../../run/measuring/metric.ts";
import { paraphrasedProbability } from "../../measures/probability.ts";

export const method = defineMetric({
  name: "paraphrased-probability",
  title: "Paraphrased probability",
  about: "probability of the right answer in other words (rows with paraphrased_answers or paraphrased_answer)",
  formula: "of every row the mean over its paraphrases of exp(-mean loss of the paraphrase); then the mean over rows",
  reads: "rows with paraphrased_answers (a list) or paraphrased_answer",
  cite: "arXiv:2401.06121",
  options: {},
  task: "causal-lm",
  needs: "paraphrases",
  range: [0, 1],
  better: "higher",
  knowledge: "more",
  laws: {
    rowOrder: true,
    duplicates: true,
    unscoredRows: true,
    otherGroups: "it is measured over whatever rows it is given",
    perfectModel: true,
  },
  value: (rows) => paraphrasedProbability(rows),
  details: (rows) => ({ "of mean loss": paraphrasedProbability(rows, "losses") }),
});
