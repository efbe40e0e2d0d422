/** Selectors as pure functions: ranks, facility location against brute force, clusters. */
import { describe, expect, test } from "bun:test";
import { directionClusters, elbow } from "../../src/curriculum/direction-clusters.ts";
import { method as adaptInf, histogramBits, spreadOver } from "../../src/curriculum/methods/selectors/adapt-inf.ts";
import { method as craig, facilityLocation } from "../../src/curriculum/methods/selectors/craig.ts";
import { method as dp, dpMeans } from "../../src/curriculum/methods/selectors/dp-means.ts";
import { bucketShares, bucketsOf, method as dsir } from "../../src/curriculum/methods/selectors/dsir.ts";
import { method as gradientNorm } from "../../src/curriculum/methods/selectors/gradient-norm.ts";
import { method as less } from "../../src/curriculum/methods/selectors/less.ts";
import { method as lowestLoss } from "../../src/curriculum/methods/selectors/lowest-loss.ts";
import { method as unlike } from "../../src/curriculum/methods/selectors/unlike.ts";
import { distance } from "../../src/curriculum/state-distance.ts";
import { waterFilled } from "../../src/curriculum/water-filling.ts";
import { Random } from "../../src/data/random.ts";
import { randomUnits } from "../support/random.ts";

const NONE = { scores: [], states: [], sketches: [], tokens: [], figures: [], labels: [], targets: [] };
const scored = (scores: readonly number[], budget: number) => ({ ...NONE, scores, budget, seed: 0, values: {} });
const over = (states: readonly Float64Array[], budget: number, per_cluster = 1) => ({
  ...NONE,
  states,
  budget,
  seed: 0,
  values: { per_cluster, lambda: 0 },
});

/** A list of numbers among the notes. */
function figuresOf(notes: Record<string, unknown> | undefined, name: string): number[] {
  const list = notes?.[name];
  return Array.isArray(list) ? list.map(Number) : [];
}

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

  test("a lambda that is given makes the clusters, whatever the budget", () => {
    const given = (lambda: number) => ({ ...over(states, 6), values: { per_cluster: 1, lambda } });
    expect(dp.select(given(16)).notes!.clusters).toEqual([30, 30, 2]);
    expect(dp.select(given(1e9)).notes!.clusters).toEqual([62]);
  });

  test("all rows when all may be kept, and rows that are all alike are one cluster", () => {
    expect([...dp.select(over(states, 62)).rows].sort((a, b) => a - b)).toEqual(states.map((_, i) => i));
    const alike = Array.from({ length: 5 }, () => Float64Array.of(1, 2));
    expect(dp.select(over(alike, 3)).rows).toHaveLength(3);
  });
});

describe("aimed at other rows", () => {
  /** Rows of letters of which one language likes the first, the other the last. */
  const rowsOf = (likes: "first" | "last", count: number, seed: number) => {
    const unit = randomUnits(seed);
    return Array.from({ length: count }, () =>
      Array.from({ length: 12 }, () => {
        const letter = Math.floor(10 * unit() ** 2);
        return likes === "first" ? letter : 9 - letter;
      }),
    );
  };
  const pool = [...rowsOf("first", 60, 1), ...rowsOf("last", 60, 2)];
  const aimed = { ...NONE, tokens: rowsOf("last", 20, 3) };
  const given = { ...NONE, tokens: pool, targets: [aimed], budget: 40 };
  const settings = { ngrams: 2, buckets: 512, smoothing: 1 };

  test("importance weights are those of the shares of buckets, n-gram by n-gram", () => {
    const { notes } = dsir.select({ ...given, seed: 0, values: { ...settings, draw: "top" } });
    const weights = figuresOf(notes, "log_weights");
    const of = (rows: readonly number[][]) =>
      bucketShares(
        rows.map((row) => bucketsOf(row, 2, 512)),
        512,
        1,
      );
    const [all, target] = [of(pool), of(aimed.tokens)];
    expect(all.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 10);
    const own = bucketsOf(pool[7]!, 2, 512);
    expect(own).toHaveLength(12 + 11);
    expect(weights[7]).toBeCloseTo(
      own.reduce((sum, b) => sum + Math.log(target[b]! / all[b]!), 0),
      9,
    );
    // Rows that are aimed at all there is weigh alike.
    const same = dsir.select({
      ...given,
      targets: [{ ...NONE, tokens: pool }],
      seed: 0,
      values: { ...settings, draw: "top" },
    });
    for (const weight of figuresOf(same.notes, "log_weights")) expect(weight).toBeCloseTo(0, 12);
  });

  test("rows of the language that is aimed at are drawn, and every row is in proportion to its weight", () => {
    for (const draw of ["top", "resample"] as const) {
      const { rows } = dsir.select({ ...given, seed: 5, values: { ...settings, draw } });
      expect(rows.filter((row) => row >= 60).length).toBeGreaterThan(38);
    }
    const two = { ...given, tokens: [[1], [2]], targets: [{ ...NONE, tokens: [[1], [1], [2]] }], budget: 1 };
    const seeds = Array.from({ length: 2000 }, (_, seed) => seed);
    const firsts = seeds.filter(
      (seed) => dsir.select({ ...two, seed, values: { ...settings, ngrams: 1, draw: "resample" } }).rows[0] === 0,
    );
    // With counts that begin at 1: weights 3 / 2 and 2 / 2 over one total, so 3 / 5 of draws.
    expect(Math.abs(firsts.length / 2000 - 0.6)).toBeLessThan(4 * Math.sqrt(0.24 / 2000));
  });

  test("gradients that point to any of the sets come first, however long they are", () => {
    const sketches = [
      [9, 9, 9],
      [0.1, 0, 0],
      [0, 5, 1],
      [-1, 0, 0],
      [Number.NaN, 0, 0],
    ].map((x) => Float64Array.from(x));
    const set = (...list: number[][]) => ({ ...NONE, sketches: list.map((x) => Float64Array.from(x)) });
    const targets = [set([3, 0, 0], [1, 0, 0]), set([0, 1, 0])];
    const { rows, notes } = less.select({ ...NONE, sketches, targets, budget: 5, seed: 0, values: {} });
    expect(rows).toEqual([1, 2, 0, 3, 4]);
    expect(figuresOf(notes, "scores")[0]).toBeCloseTo(1 / Math.sqrt(3), 12);
  });
});

describe("a coreset of classes", () => {
  const states = [...points(12, 21), ...points(3, 22, [4, 4]), ...points(9, 23, [0, 8])];
  const labels = states.map((_, row) => (row < 12 ? 2 : row < 15 ? 0 : 5));
  const chosen = (budget: number) => craig.select({ ...NONE, states, labels, budget, seed: 0, values: {} });

  test("places are equal over classes, and what a small class lacks goes to the others", () => {
    const of = (budget: number) => {
      const rows = chosen(budget).rows;
      return [0, 2, 5].map((label) => rows.filter((row) => labels[row] === label).length);
    };
    expect(of(6)).toEqual([2, 2, 2]);
    expect(of(15)).toEqual([3, 6, 6]);
  });

  test("weights count the rows of the class whose nearest is chosen, of mean 1; all rows weigh 1", () => {
    const { rows, weights = [], notes } = chosen(6);
    expect(weights.reduce((a, b) => a + b, 0)).toBeCloseTo(6, 12);
    const counts = figuresOf(notes, "weights");
    for (const label of [0, 2, 5]) {
      const own = counts.filter((_, i) => labels[rows[i]!] === label);
      expect(own.reduce((a, b) => a + b, 0)).toBe(labels.filter((its) => its === label).length);
    }
    expect(new Set(chosen(24).weights)).toEqual(new Set([1]));
  });
});

describe("over directions and ranges", () => {
  test("water fills the least groups first, and gives no group more than it has", () => {
    expect(waterFilled([2, 100, 5], 20)).toEqual([2, 13, 5]);
    expect(waterFilled([100, 100, 100], 10).reduce((a, b) => a + b)).toBe(10);
    expect(Math.max(...waterFilled([100, 100, 100], 10))).toBe(4);
    expect(waterFilled([1, 2], 9)).toEqual([1, 2]);
    expect(waterFilled([3, 0, 2], 0)).toEqual([0, 0, 0]);
  });

  test("the elbow is where a curve bends; directions are told apart whatever their lengths", () => {
    expect(elbow([1, 0.1, 0.05, 0])).toBe(1);
    expect(elbow([1, 0.9, 0.1, 0.05])).toBe(2);
    expect(elbow([0.5, 0.5, 0.5])).toBe(0);
    const unit = randomUnits(5);
    const axes = Array.from({ length: 60 }, (_, i) =>
      Float64Array.from({ length: 4 }, (_, c) => (1 + 9 * unit()) * (c === i % 4 ? 1 : 0.02 * unit())),
    );
    const groups = directionClusters(axes, 0, 1);
    expect(groups).toHaveLength(4);
    for (const group of groups) expect(new Set(group.map((i) => i % 4)).size).toBe(1);
  });

  test("a constant has no entropy and is never the figure a cluster goes by", () => {
    expect(histogramBits([3, 3, 3])).toBe(0);
    expect(histogramBits(Array.from({ length: 50 }, (_, i) => i))).toBeCloseTo(Math.log2(50), 10);
    const rows = Array.from({ length: 40 }, (_, i) => i);
    const figures = rows.map((i) => ({ loss: 2, entropy: i % 2, el2n: i, norm: 1 }));
    const given = { ...NONE, figures, sketches: rows.map((i) => Float64Array.of(1, i % 2 ? 0.1 : 0.2)), seed: 1 };
    const { notes } = adaptInf.select({ ...given, budget: 10, values: { clusters: 1, trim: 0.05 } });
    expect(notes?.clusters).toEqual([{ rows: 40, kept: 10, by: "el2n" }]);
    const all = adaptInf.select({ ...given, budget: 40, values: { clusters: 3, trim: 0.05 } });
    expect(all.rows.toSorted((a, b) => a - b)).toEqual(rows);
  });

  test("rows are spread over the range of values, not over where most of them are", () => {
    // 90 rows near 0 and 10 from .5 to 1: an equal share of bins takes most of the few.
    const values = [
      ...Array.from({ length: 90 }, (_, i) => i / 1000),
      ...Array.from({ length: 10 }, (_, i) => 0.5 + i / 20),
    ];
    const rows = values.map((_, i) => i);
    const chosen = spreadOver(rows, values, { budget: 12, trim: 0, random: new Random(1, "spread") });
    expect(chosen).toHaveLength(12);
    expect(chosen.filter((row) => row >= 90).length).toBeGreaterThanOrEqual(6);
    const trimmed = spreadOver(rows, values, { budget: 12, trim: 0.1, random: new Random(1, "spread") });
    expect(trimmed.some((row) => row >= 90 || row < 10)).toBe(false);
  });

  test("of rows that are alike the later ones go first, and the budget is kept", () => {
    const states = [...points(10, 7, [5, 0], 0.3), ...points(10, 8, [0, 5], 0.3)];
    const doubled = [...states, ...states.slice(0, 6).map((x) => x.map((v) => 3 * v))];
    const { rows, notes } = unlike.select({ ...NONE, states: doubled, budget: 20, seed: 2, values: { clusters: 2 } });
    expect(rows).toHaveLength(20);
    expect(rows.filter((row) => row >= 20)).toEqual([]);
    expect(Number(notes?.likest)).toBeLessThan(1);
  });
});
