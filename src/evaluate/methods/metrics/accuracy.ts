/** Share of tokens, or of examples, whose most likely output is the right one. */

import { defineMetric } from "../../../run/measuring/metric.ts";
import { rightTokens, tokens } from "../../../run/scoring/scored-row.ts";
import { ratio } from "../../measures/means.ts";

export const method = defineMetric({
  name: "accuracy",
  title: "Accuracy",
  about: "share of tokens (or examples) whose most likely output is right",
  formula: "tokens whose most likely output is the right one, divided by all tokens that count",
  reads: "the tokens that count of every row; of a classifier x and label",
  cite: "common practice",
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
  value: (rows) => ratio(rows, rightTokens, tokens),
});
