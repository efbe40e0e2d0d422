/**
 * Demographic parity: how far the mean outputs of a group are from those of all rows. The measure of "Distraction is
 * All You Need for Fairness", 2022, for every class.
 */
import { defineMetric } from "../../../run/measuring/metric.ts";
import { expectGroups, GAP, outputGap } from "../../measures/output-gap.ts";

export const method = defineMetric({
  ...GAP,
  name: "parity-gap",
  title: "Gap of parity",
  about: "how far a classifier's mean outputs of a group are from those of all rows",
  formula:
    "the largest, over groups and classes, of |mean probability over the group - mean probability over all rows|",
  reads: "x and label of every row, and its group, for classifiers alone",
  cite: "Yazdani-Jahromi 2022",
  example: "bun run evaluate classifier/ --data a=classes.jsonl --data b=unseen.jsonl --metric parity-gap",
  laws: {
    rowOrder: true,
    duplicates: true,
    unscoredRows: true,
    otherGroups: "it compares all groups",
    perfectModel: "a model that is right says what labels say of groups",
  },
  check: expectGroups("parity-gap"),
  value: outputGap,
});
