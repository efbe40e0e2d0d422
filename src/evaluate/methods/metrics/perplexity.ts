/** The exponential of the loss. */
import { summedLoss, tokens } from "../../../run/scoring/scored-row.ts";
import { defineMetric } from "../../contract.ts";
import { ratio } from "../../measures/means.ts";

export const method = defineMetric({
  name: "perplexity",
  title: "Perplexity",
  about: "exponential of the loss",
  cite: "Jelinek et al. 1977",
  options: {},
  range: [1, Number.POSITIVE_INFINITY],
  lower: true,
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
