/**
 * Probability of the right one of several options, divided by the sum of all. Probabilities are geometric means over
 * tokens. The right option is the row's own answer, as in TOFU and OpenUnlearning, or the one that `answer` names among
 * `choices`.
 */
import { defineMetric } from "../../../run/measuring/metric.ts";
import { normalisedProbability } from "../../measures/probability.ts";

export const method = defineMetric({
  name: "normalised-probability",
  title: "Normalised probability",
  about: "probability of the right option divided by that of all options",
  formula:
    "of every row the probability of the right option divided by the sum over all options, each the geometric mean over its tokens; then the mean over rows",
  reads:
    "choices (a list) and answer (the place of the right one), or perturbed_answer (a list of wrong answers) beside the row's own",
  cite: "arXiv:2401.06121",
  options: {},
  task: "causal-lm",
  needs: "options",
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
  value: (rows) => normalisedProbability(rows),
});
