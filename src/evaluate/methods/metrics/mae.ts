/** Mean size of the errors of predicted numbers. */
import { defineMetric } from "../../../run/measuring/metric.ts";
import { mean } from "../../measures/means.ts";
import { errorsIn } from "../../measures/numbers.ts";

export const method = defineMetric({
  name: "mae",
  title: "Mean absolute error",
  about: "mean size of the errors of predicted numbers",
  formula: "mean over rows and outputs of |found - wanted|",
  reads: "x (or image) and y of every row, for models that predict numbers alone",
  cite: "common practice",
  example: "bun run evaluate predictor/ --data numbers.jsonl --metric mae",
  options: {},
  task: "regressor",
  range: [0, Number.POSITIVE_INFINITY],
  better: "lower",
  laws: {
    rowOrder: true,
    duplicates: true,
    unscoredRows: true,
    otherGroups: "it is measured over whatever rows it is given",
    perfectModel: true,
  },
  value: (rows) => mean(errorsIn(rows).map(Math.abs)),
});
