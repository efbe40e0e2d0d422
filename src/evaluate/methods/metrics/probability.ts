/** Probability of the right answer: the geometric mean over its tokens, averaged over rows. */
import { defineMetric } from "../../../run/measuring/metric.ts";
import { probability } from "../../measures/probability.ts";

export const method = defineMetric({
  name: "probability",
  title: "Probability",
  about: "probability of the right answer, the geometric mean over its tokens; mean over rows",
  formula: "of every row exp(-mean loss of its tokens); then the mean over rows",
  reads: "the tokens that count of every row; of a classifier x and label",
  cite: "arXiv:2401.06121",
  options: {},
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
  value: (rows) => probability(rows),
});
