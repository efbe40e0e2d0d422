/** Accuracy of a classifier per class, and their mean: balanced accuracy. */

import { defineMetric } from "../../../run/measuring/metric.ts";
import type { ScoredRow } from "../../../run/scoring/scored-row.ts";
import { mean } from "../../measures/means.ts";

/** Accuracy by class, in order of label. */
function accuracies(rows: readonly ScoredRow[]): Map<number, number> {
  const classes = Map.groupBy(rows, ({ targets }) => targets[0]!);
  return new Map(
    [...classes]
      .sort(([a], [b]) => a - b)
      .map(([label, list]) => [label, list.filter(({ argmax }) => argmax[0] === label).length / list.length]),
  );
}

export const method = defineMetric({
  name: "class-accuracy",
  title: "Class accuracy",
  about: "accuracy of every class, and their mean",
  formula: "right rows of a class divided by its rows; then the mean over the classes, each counting alike",
  reads: "x and label of every row, for classifiers alone",
  cite: "common practice",
  options: {},
  task: "classifier",
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
  value: (rows) => mean([...accuracies(rows).values()]),
  details: (rows) => Object.fromEntries([...accuracies(rows)].map(([label, share]) => [`class ${label}`, share])),
});
