/**
 * Mean reciprocal rank of the second text among all second texts and negatives of the group, by their cosine to the
 * first. Voorhees, TREC 1999, https://trec.nist.gov/pubs/trec8/papers/qa_report.pdf.
 */
import { defineMetric } from "../../../run/measuring/metric.ts";
import { meanOfPairs } from "../../measures/pairs.ts";

export const method = defineMetric({
  name: "mrr",
  title: "Mean reciprocal rank",
  about: "mean of 1 / the place of a text's counterpart among all texts of the group, the nearest first",
  formula: "mean of 1 / (1 + texts that are as near to the first text as the second one, or nearer)",
  reads: "query or anchor, positive and negatives of every row",
  cite: "Voorhees 1999",
  options: {},
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
  value: (rows) => meanOfPairs(rows, ({ rank }) => 1 / rank),
});
