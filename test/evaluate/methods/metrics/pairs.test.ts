/** Metrics over pairs of texts: numbers worked out by hand. */
import { expect, test } from "bun:test";
import { method as mrr } from "../../../../src/evaluate/methods/metrics/mrr.ts";
import { method as recall } from "../../../../src/evaluate/methods/metrics/recall.ts";
import { method as spearman } from "../../../../src/evaluate/methods/metrics/spearman.ts";
import { meanRanks, rankCorrelation } from "../../../../src/run/probing/rank-correlation.ts";
import { CONTEXT, metricValue, scoredRow } from "../../../support/scored-rows.ts";

const row = (rank: number, cosine = 0, score?: number) =>
  scoredRow({ nll: [], pair: { rank, cosine, score, candidates: 10 } });
const RANKED = [1, 2, 4, 1].map((rank) => row(rank));

test("recall at k and the mean reciprocal rank", () => {
  expect(metricValue(recall, RANKED)).toBe(0.5);
  expect(metricValue(recall, RANKED, CONTEXT, { recall_k: 2 })).toBe(0.75);
  expect(metricValue(mrr, RANKED)).toBe((1 + 0.5 + 0.25 + 1) / 4);
  expect(metricValue(mrr, [])).toBeNaN();
});

test("equal values share the mean of their places", () => {
  expect(meanRanks([3, 1, 3, 2])).toEqual([2.5, 0, 2.5, 1]);
});

test("the rank correlation is that of places", () => {
  expect(rankCorrelation([1, 2, 3], [10, 20, 900])).toBe(1);
  expect(rankCorrelation([1, 2, 3], [3, 2, 1])).toBe(-1);
  // Without ties 1 - 6 sum d^2 / (n (n^2 - 1)) = 1 - 6 * 6 / 60.
  expect(rankCorrelation([1, 2, 3, 4], [2, 1, 4, 3])).toBeCloseTo(0.6, 12);
  expect(rankCorrelation([1, 2, 3, 4], [2, 1, 3, 2])).toBeCloseTo(1.5 / Math.sqrt(5 * 4.5), 12);
  expect(rankCorrelation([1, 1], [1, 2])).toBeNaN();
  expect(metricValue(spearman, [row(1, 0.9, 5), row(1, 0.1, 1), row(1, 0.2, 2)])).toBe(1);
});
