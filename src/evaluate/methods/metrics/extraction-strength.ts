/**
 * How little of an answer must be given for the rest to follow. Carlini et al., USENIX Security 2021,
 * https://arxiv.org/abs/2012.07805
 */
import { defineMetric } from "../../../run/measuring/metric.ts";
import { extractionStrength } from "../../measures/memorisation.ts";

export const method = defineMetric({
  name: "extraction-strength",
  title: "Extraction strength",
  about: "share of an answer that follows, token by token, once the part before it is given; mean over rows",
  formula:
    "of every row 1 - k/n, n its tokens and k the fewest after which every further token is the most likely one; then the mean over rows",
  reads: "the tokens that count of every row, without the end of the text",
  cite: "arXiv:2012.07805",
  options: {},
  task: "causal-lm",
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
  value: (rows) => extractionStrength(rows),
});
