/** Mixtures of parts, and how well one score ranks them as another does. */
import { expect, test } from "bun:test";
import { allMixtures, drawPairs, greedyMixtures, pearson, ranksOf, spearman } from "../../src/curriculum/mixtures.ts";

test("all mixtures of three parts, those of fewer first", () => {
  expect(allMixtures(3)).toEqual([[0], [1], [2], [0, 1], [0, 2], [1, 2], [0, 1, 2]]);
});

test("greedy selection adds the part that makes the score least", async () => {
  // The best pair is {1, 2}; greedy begins with 0, the best alone.
  const scores: Record<string, number> = { "0": 1, "1": 2, "2": 3, "0,1": 0.9, "0,2": 0.8, "1,2": 0, "0,1,2": 0.7 };
  const seen = await greedyMixtures(3, async (mixture) => scores[mixture.join()]!);
  expect(seen.map(({ mixture }) => mixture.join())).toEqual(["0", "1", "2", "0,1", "0,2", "0,1,2"]);
  expect(seen.map(({ score }) => score)).toEqual([1, 2, 3, 0.9, 0.8, 0.7]);
});

test("pairs are drawn without repetition, by seed", () => {
  expect(drawPairs(3, 9, 0)).toEqual([
    [0, 1],
    [0, 2],
    [1, 2],
  ]);
  const drawn = drawPairs(6, 5, 1);
  expect(new Set(drawn.map(String)).size).toBe(5);
  expect(drawPairs(6, 5, 1)).toEqual(drawn);
});

test("correlations, with ties by their mean rank", () => {
  expect(ranksOf([5, 1, 5, 9])).toEqual([1.5, 0, 1.5, 3]);
  expect(spearman([1, 2, 3, 4], [1, 8, 27, 64])).toBe(1);
  expect(spearman([1, 2, 3], [3, 2, 1])).toBe(-1);
  expect(pearson([1, 2, 4], [2, 4, 9])).toBeCloseTo(11 / Math.sqrt((42 / 9) * 26), 12);
  expect(pearson([1, 1], [1, 2])).toBeNaN();
});
