/** Mean cross-entropy of the tokens that count, in nats. */

import { defineMetric } from "../../../run/measuring/metric.ts";
import { summedLoss, tokens } from "../../../run/scoring/scored-row.ts";
import { ratio } from "../../measures/means.ts";

export const method = defineMetric({
  name: "loss",
  title: "Loss",
  about: "mean cross-entropy of the tokens (or labels) that count, in nats",
  formula:
    "sum of -log p over the tokens that count, divided by their number; p is the probability of the right token after the right ones before it",
  reads: "the tokens that count of every row; of a classifier x and label",
  cite: "common practice",
  options: {},
  range: [0, Number.POSITIVE_INFINITY],
  better: "lower",
  knowledge: "less",
  laws: {
    rowOrder: true,
    duplicates: true,
    unscoredRows: true,
    otherGroups: "it is measured over whatever rows it is given",
    perfectModel: true,
  },
  value: (rows) => ratio(rows, summedLoss, tokens),
});
