/** Selectors as pure functions: ranks, facility location against brute force, clusters. */
import { describe, expect, test } from "bun:test";
import { method as craig, facilityLocation } from "../../src/curriculum/methods/selectors/craig.ts";
import { method as dp, dpMeans } from "../../src/curriculum/methods/selectors/dp-means.ts";
import { method as gradientNorm } from "../../src/curriculum/methods/selectors/gradient-norm.ts";
import { method as lowestLoss } from "../../src/curriculum/methods/selectors/lowest-loss.ts";
import { distance } from "../../src/curriculum/state-distance.ts";
import { randomUnits } from "../support/random.ts";

const scored = (scores: readonly number[], budget: number) => ({ scores, states: [], budget, seed: 0, values: {} });
const over = (states: readonly Float64Array[], budget: number, per_cluster = 1) => ({
  scores: [],
  states,
  budget,
  seed: 0,
  values: { per_cluster },
});

function points(count: number, seed: number, at: readonly number[] = [0, 0], width = 1): Float64Array[] {
  const unit = randomUnits(seed);
  return Array.from({ length: count }, () => Float64Array.from(at, (x) => x + width * (2 * unit() - 1)));
}

describe("by score", () => {
  test("the lowest losses come first, the first of equals, unknown ones last", () => {
    expect(lowestLoss.select(scored([3, 1, Number.NaN, 2, 1], 3)).rows).toEqual([1, 4, 3]);
    expect(lowestLoss.select(scored([3, 1, Number.NaN, 2, 1], 5)).rows).toEqual([1, 4, 3, 0, 2]);
  });

  test("the largest norms come first, unknown ones last", () => {
    expect(gradientNorm.select(scored([3, 1, Number.NaN, 2, 3], 4)).rows).toEqual([0, 4, 3, 1]);
  });
});

describe("facility location", () => {
  /** F(S) = sum_i max_{j in S} (C - |x_i - x_j|), as written. */
  const value = (states: readonly Float64Array[], chosen: readonly number[]): number => {
    const most = Math.max(...states.flatMap((a) => states.map((b) => distance(a, b))));
    return states.reduce((sum, x) => sum + Math.max(0, ...chosen.map((j) => most - distance(x, states[j]!))), 0);
  };
  const subsets = (n: number, k: number, from = 0): number[][] =>
    k === 0
      ? [[]]
      : Array.from({ length: n - from }, (_, i) => from + i).flatMap((first) =>
          subsets(n, k - 1, first + 1).map((rest) => [first, ...rest]),
        );

  test("the greedy choice takes the largest gain every time, gains shrink and add up to F", () => {
    for (const seed of [1, 2, 3, 4]) {
      const states = points(12, seed);
      const { rows, gains } = facilityLocation(states, 6);
      for (const [place, row] of rows.entries()) {
        const before = rows.slice(0, place);
        const gain = (j: number) => value(states, [...before, j]) - value(states, before);
        const best = Math.max(...states.flatMap((_, j) => (before.includes(j) ? [] : [gain(j)])));
        expect(Math.abs(gain(row) - best)).toBeLessThan(1e-9);
        expect(Math.abs(gains[place]! - best)).toBeLessThan(1e-9);
        if (place > 0) expect(gains[place]!).toBeLessThanOrEqual(gains[place - 1]! + 1e-9);
      }
      expect(Math.abs(gains.reduce((a, b) => a + b, 0) - value(states, rows))).toBeLessThan(1e-9);
    }
  });

  test("is within 1 - 1/e of the best subset", () => {
    for (const seed of [5, 6, 7]) {
      const states = points(12, seed);
      const best = Math.max(...subsets(12, 3).map((chosen) => value(states, chosen)));
      expect(value(states, facilityLocation(states, 3).rows)).toBeGreaterThanOrEqual((1 - Math.exp(-1)) * best);
    }
  });

  test("weights count the rows that each stands for; of all rows each stands for itself", () => {
    const states = [...points(5, 1), ...points(3, 2, [100, 0]), ...points(1, 3, [0, 100])];
    const { rows, weights } = facilityLocation(states, 3);
    expect(new Set(rows.map((row) => (row < 5 ? "a" : row < 8 ? "b" : "c"))).size).toBe(3);
    expect(rows.map((row, i) => [row < 5 ? 5 : row < 8 ? 3 : 1, weights[i]])).toEqual([
      [5, 5],
      [3, 3],
      [1, 1],
    ]);
    expect(facilityLocation(states, 9).weights).toEqual(new Array(9).fill(1));
    expect([...craig.select(over(states, 9)).rows].sort((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
  });
});

describe("dp-means", () => {
  const states = [...points(30, 1), ...points(30, 2, [10, 0]), ...points(2, 3, [0, 10])];

  test("finds clusters that lie apart; a large lambda makes one, 0 one of every point", () => {
    const of = dpMeans(states, 16);
    expect(new Set(of).size).toBe(3);
    expect(new Set(of.slice(0, 30)).size).toBe(1);
    expect(new Set(of.slice(30, 60)).size).toBe(1);
    expect(new Set(of.slice(60)).size).toBe(1);
    expect(new Set(dpMeans(states, 1e9)).size).toBe(1);
    expect(new Set(dpMeans(states, 0)).size).toBe(62);
    const [first] = states as [Float64Array];
    expect(new Set(dpMeans([...states, first, first], 0)).size).toBe(62);
  });

  test("a rare kind is among a few rows, which a draw by lot would mostly miss", () => {
    const { rows, notes } = dp.select(over(states, 6, 2));
    expect(rows).toHaveLength(6);
    expect(new Set(rows).size).toBe(6);
    expect(rows.filter((row) => row >= 60)).toHaveLength(2);
    expect(notes!.clusters).toHaveLength(3);
  });

  test("all rows when all may be kept, and rows that are all alike are one cluster", () => {
    expect([...dp.select(over(states, 62)).rows].sort((a, b) => a - b)).toEqual(states.map((_, i) => i));
    const alike = Array.from({ length: 5 }, () => Float64Array.of(1, 2));
    expect(dp.select(over(alike, 3)).rows).toHaveLength(3);
  });
});
