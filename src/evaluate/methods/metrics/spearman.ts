/**
 * Spearman's rank correlation of the cosine of two sentences with the score that says how alike they are, as the tasks
 * of semantic textual similarity are judged. Equal values share the mean of their ranks.
 *
 * Reimers et al., COLING 2016, https://aclanthology.org/C16-1009
 */
import { defineMetric } from "../../../run/measuring/metric.ts";
import { rankCorrelation } from "../../../run/probing/rank-correlation.ts";
import { pairsIn } from "../../measures/pairs.ts";

export const method = defineMetric({
  name: "spearman",
  title: "Spearman's rank correlation",
  about: "rank correlation of the cosine of two sentences with how alike they are",
  formula: "correlation of the ranks of cosines with the ranks of scores, equal values at their mean rank",
  reads: "sentence1, sentence2 and score of every row",
  cite: "Reimers et al. 2016",
  example: "bun run evaluate encoder/ --data scored.jsonl --metric spearman",
  options: {},
  task: "embedder",
  needs: ["pair", "pair-score"],
  range: [-1, 1],
  better: "higher",
  laws: {
    rowOrder: true,
    duplicates: true,
    unscoredRows: true,
    otherGroups: "it is measured over whatever rows it is given",
    perfectModel: true,
  },
  value(rows) {
    const pairs = pairsIn(rows);
    return rankCorrelation(
      pairs.map(({ cosine }) => cosine),
      pairs.map(({ score = Number.NaN }) => score),
    );
  },
});
