/** Mean square of the errors of predicted numbers. */
import { defineMetric } from "../../../run/measuring/metric.ts";
import { mean } from "../../measures/means.ts";
import { errorsIn } from "../../measures/numbers.ts";

export const method = defineMetric({
  name: "mse",
  title: "Mean squared error",
  about: "mean square of the errors of predicted numbers",
  formula: "mean over rows and outputs of (found - wanted)^2",
  reads: "x (or image) and y of every row, for models that predict numbers alone",
  cite: "common practice",
  example: "bun run evaluate predictor/ --data numbers.jsonl --metric mse",
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
  value: (rows) => mean(errorsIn(rows).map((error) => error ** 2)),
});
