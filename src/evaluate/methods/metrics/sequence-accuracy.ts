/**
 * Share of rows of which every token that counts is the most likely one, given the right ones before it. A row whose
 * end was cut away is not answered.
 */

import { defineMetric } from "../../../run/measuring/metric.ts";
import { rightTokens, tokens } from "../../../run/scoring/scored-row.ts";
import { ratio } from "../../measures/means.ts";

export const method = defineMetric({
  name: "sequence-accuracy",
  title: "Sequence accuracy",
  about: "share of rows whose every token is the most likely one, given the right ones before it",
  formula:
    "rows of which every token that counts is the most likely one after the right ones before it, divided by all rows",
  reads: "the tokens that count of every row",
  cite: "common practice",
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
  value: (rows) => ratio(rows, (row) => (!row.isCut && rightTokens(row) === tokens(row) ? 1 : 0)),
});
