/** Probability of the right answer: the geometric mean over its tokens, averaged over rows. */
import { defineMetric } from "../../contract.ts";
import { probability } from "../../measures/probability.ts";

export const method = defineMetric({
  name: "probability",
  title: "Probability",
  about: "probability of the right answer, the geometric mean over its tokens; mean over rows",
  cite: "arXiv:2401.06121",
  options: {},
  range: [0, 1],
  lower: false,
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
