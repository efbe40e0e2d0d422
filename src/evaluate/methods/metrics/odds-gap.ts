/**
 * Equalised odds: how far the mean outputs of a group are from those of all rows of the same label. Hardt et al., NIPS
 * 2016, https://arxiv.org/abs/1610.02413, of probabilities rather than of decisions.
 */
import { defineMetric } from "../../../run/measuring/metric.ts";
import { expectGroups, GAP, outputGap } from "../../measures/output-gap.ts";

export const method = defineMetric({
  ...GAP,
  name: "odds-gap",
  title: "Gap of odds",
  about: "how far a classifier's mean outputs of a group are from those of all rows of the same label",
  formula:
    "the largest, over labels, groups and classes, of |mean probability over the group's rows of the label - mean probability over all rows of the label|",
  reads: "x and label of every row, and its group, for classifiers alone",
  cite: "arXiv:1610.02413",
  example: "bun run evaluate classifier/ --data a=classes.jsonl --data b=unseen.jsonl --metric odds-gap",
  laws: {
    rowOrder: true,
    duplicates: true,
    unscoredRows: true,
    otherGroups: "it compares all groups",
    perfectModel: true,
  },
  check: expectGroups("odds-gap"),
  value(rows) {
    const gaps = [...Map.groupBy(rows, ({ targets }) => targets[0]!)].flatMap(([label, own]) =>
      label < 0 ? [] : [outputGap(own)],
    );
    return gaps.length === 0 ? Number.NaN : Math.max(...gaps);
  },
});
