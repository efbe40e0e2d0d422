import { describe, expect, test } from "bun:test";
import { klom, klomOfPoints, margin, summary } from "../../src/evaluate/klom.ts";
import { normals } from "../support/random.ts";

describe("KLoM", () => {
  test("a margin is the log odds of the label", () => {
    expect(margin([1, 2, 3], 1)).toBeCloseTo(2 - Math.log(Math.exp(1) + Math.exp(3)), 12);
    const p = [1, 2, 3].map((z) => Math.exp(z) / (Math.exp(1) + Math.exp(2) + Math.exp(3)));
    expect(margin([1, 2, 3], 2)).toBeCloseTo(Math.log(p[2]! / (1 - p[2]!)), 12);
  });

  test("equal samples are 0 apart, and those that share no bin ln 1e5", () => {
    expect(klom([1, 2, 3], [3, 1, 2])).toBe(0);
    expect(klom([5, 5], [5, 5])).toBe(0);
    expect(klom([0, 0], [1, 1])).toBeCloseTo(Math.log(1e5), 9);
    expect(klom([-500, -500], [-100, 100])).toBeCloseTo(Math.log(2), 12); // cut at -100
  });

  test("is the divergence of two histograms of 20 bins", () => {
    // From 0 to 20: bins of width 1.
    const ours = [0, 0.5, 5.5, 20];
    const theirs = [0.2, 5.1, 5.9, 20];
    const expected = 0.5 * Math.log(0.5 / 0.25) + 0.25 * Math.log(0.25 / 0.5) + 0.25 * Math.log(1);
    expect(klom(ours, theirs)).toBeCloseTo(expected, 12);
  });

  test("by points, with the mean and the 95th percentile", () => {
    const models = (shift: number) =>
      Array.from({ length: 100 }, (_, i) => Float64Array.of(...[normals(i, 1)[0]!, normals(500 + i, 1)[0]! + shift]));
    const found = klomOfPoints(models(3), models(0).toReversed());
    expect(found[0]).toBe(0);
    expect(found[1]).toBeGreaterThan(3);
    expect(summary([3, 1, 2])).toEqual({ mean: 2, p95: 3 });
    expect(summary(Array.from({ length: 100 }, (_, i) => i)).p95).toBe(94);
  });
});
