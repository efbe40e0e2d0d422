/** Mean cross-entropy of the tokens that count, in nats. */
import { summedLoss, tokens } from "../../../run/scoring/scored-row.ts";
import { defineMetric } from "../../contract.ts";
import { ratio } from "../../measures/means.ts";

export const method = defineMetric({
  name: "loss",
  title: "Loss",
  about: "mean cross-entropy of the tokens (or labels) that count, in nats",
  cite: "common practice",
  options: {},
  range: [0, Number.POSITIVE_INFINITY],
  lower: true,
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
