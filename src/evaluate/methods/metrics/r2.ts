/** Share of the variance of what is to be predicted that predictions explain. */
import { defineMetric } from "../../../run/measuring/metric.ts";
import { mean } from "../../measures/means.ts";
import { outputsOf } from "../../measures/numbers.ts";

/** Of one output: NaN where all that is wanted is the same number. */
function explained(pairs: readonly { readonly found: number; readonly wanted: number }[]): number {
  const centre = mean(pairs.map(({ wanted }) => wanted));
  const spread = pairs.reduce((sum, { wanted }) => sum + (wanted - centre) ** 2, 0);
  const left = pairs.reduce((sum, { found, wanted }) => sum + (found - wanted) ** 2, 0);
  return spread > 0 ? 1 - left / spread : Number.NaN;
}

export const method = defineMetric({
  name: "r2",
  title: "Coefficient of determination",
  about: "share of the variance of what is to be predicted that predictions explain",
  formula: "mean over outputs of 1 - sum of (found - wanted)^2 / sum of (wanted - their mean)^2",
  reads: "x (or image) and y of every row, for models that predict numbers alone",
  cite: "common practice",
  example: "bun run evaluate predictor/ --data numbers.jsonl --metric r2",
  options: {},
  task: "regressor",
  range: [Number.NEGATIVE_INFINITY, 1],
  better: "higher",
  laws: {
    rowOrder: true,
    duplicates: true,
    unscoredRows: true,
    otherGroups: "it is measured over whatever rows it is given",
    perfectModel: true,
  },
  value: (rows) => mean(outputsOf(rows).map(explained)),
});
