/**
 * Share of first texts whose second one is among the nearest: of all second texts and negatives of the group, each
 * once, by their cosine. Of texts that are equally near the second one comes last.
 */
import { defineMetric } from "../../../run/measuring/metric.ts";
import { meanOfPairs } from "../../measures/pairs.ts";

export const method = defineMetric({
  name: "recall",
  title: "Recall at k",
  about: "share of texts whose counterpart is among the k nearest of all texts of the group",
  formula: "pairs whose second text is among the k nearest to the first by cosine, divided by all pairs",
  reads: "query or anchor, positive and negatives of every row; --recall-k",
  cite: "common practice",
  options: { recall_k: { type: "number.integer >= 1", default: 1, help: "how many of the nearest texts count" } },
  task: "embedder",
  needs: "pair",
  range: [0, 1],
  better: "higher",
  laws: {
    rowOrder: true,
    duplicates: true,
    unscoredRows: true,
    otherGroups: "it is measured over whatever rows it is given",
    perfectModel: true,
  },
  value: (rows, { values }) => meanOfPairs(rows, ({ rank }) => (rank <= values.recall_k ? 1 : 0)),
});
