/** The exponential of the loss. */

import { defineMetric } from "../../../run/measuring/metric.ts";
import { summedLoss, tokens } from "../../../run/scoring/scored-row.ts";
import { ratio } from "../../measures/means.ts";

export const method = defineMetric({
  name: "perplexity",
  title: "Perplexity",
  about: "exponential of the loss",
  formula: "exp(loss), the loss being the mean of -log p over the tokens that count",
  reads: "the tokens that count of every row; of a classifier x and label",
  cite: "Jelinek et al. 1977",
  options: {},
  range: [1, Number.POSITIVE_INFINITY],
  better: "lower",
  knowledge: "less",
  laws: {
    rowOrder: true,
    duplicates: true,
    unscoredRows: true,
    otherGroups: "it is measured over whatever rows it is given",
    perfectModel: true,
  },
  value: (rows) => Math.exp(ratio(rows, summedLoss, tokens)),
});
