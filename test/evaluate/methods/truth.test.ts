import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { harmonicMean } from "../../../src/evaluate/measures/means.ts";
import { truthRatios } from "../../../src/evaluate/measures/truth-ratios.ts";
import { method as forgetQuality } from "../../../src/evaluate/methods/metrics/forget-quality.ts";
import { method as utility } from "../../../src/evaluate/methods/metrics/model-utility.ts";
import { method as truthRatio } from "../../../src/evaluate/methods/metrics/truth-ratio.ts";
import { CONTEXT, metricDetails, metricValue, scoredRow } from "../../support/scored-rows.ts";

/** A row of which right and wrong answers have these probabilities. */
const truthRow = (right: number, wrong: readonly number[], group = 0) =>
  scoredRow({ group, truth: { right: [-Math.log(right)], wrong: wrong.map((p) => -Math.log(p)) } });

describe("truth ratio", () => {
  test("half: aggregates 0.5, 0.5 and 2/3", () => {
    const rows = [truthRow(0.4, [0.2, 0.2]), scoredRow()];
    expect(truthRatios(rows)).toEqual([expect.closeTo(0.5, 8)]);
    expect(metricValue(truthRatio, rows)).toBeCloseTo(0.5, 8);
    const details = metricDetails(truthRatio, rows);
    expect(details["retain (max(0, 1 - TR))"]).toBeCloseTo(0.5, 8);
    expect(details["right share"]).toBeCloseTo(2 / 3, 8);
  });

  test("losses are averaged; the details that say so average probabilities", () => {
    const rows = [truthRow(0.5, [0.4, 0.1])];
    expect(metricValue(truthRatio, rows)).toBeCloseTo(0.4, 8); // sqrt(0.4 * 0.1) / 0.5
    expect(metricDetails(truthRatio, rows)["forget of means"]).toBeCloseTo(0.5, 8);
    expect(metricDetails(truthRatio, rows)["retain of means"]).toBeCloseTo(0.5, 8);
  });

  test("is between 0 and 1, the same both ways round, and takes any order", () => {
    const p = fc.double({ min: 1e-6, max: 1, noNaN: true });
    fc.assert(
      fc.property(fc.array(fc.tuple(p, p), { minLength: 1 }), (pairs) => {
        const rows = pairs.map(([right, wrong]) => truthRow(right, [wrong]));
        const turned = pairs.map(([right, wrong]) => truthRow(wrong, [right]));
        const value = metricValue(truthRatio, rows);
        expect(value).toBeWithin(0, 1 + 1e-12);
        expect(metricValue(truthRatio, turned)).toBeCloseTo(value, 3);
        expect(metricValue(truthRatio, rows.toReversed())).toBeCloseTo(value, 12);
      }),
    );
  });

  test("an answer of no probability at all gives a number", () => {
    const rows = [scoredRow({ truth: { right: [1e4], wrong: [1e4] } })];
    expect(metricValue(truthRatio, rows)).toBe(0);
    expect(Object.values(metricDetails(truthRatio, rows)).every(Number.isFinite)).toBe(true);
  });
});

describe("forget quality", () => {
  test("compares the forget group with gold's, and asks for gold", () => {
    const rows = [truthRow(0.5, [0.1]), truthRow(0.5, [0.2]), truthRow(0.1, [0.9], 1)];
    expect(metricValue(forgetQuality, rows, { ...CONTEXT, gold: rows })).toBe(1);
    const gold = [truthRow(0.1, [0.5]), truthRow(0.1, [0.6])];
    expect(metricDetails(forgetQuality, rows, { ...CONTEXT, gold })).toEqual({ D: 1, n: 2 });
    expect(forgetQuality.gold).toBe("required");
  });
});

describe("model utility", () => {
  const row = (group: number, p: number) => ({
    ...truthRow(1, [1 - p], group),
    nll: Float32Array.of(-Math.log(p)),
    options: { right: [-Math.log(p)], wrong: [-Math.log(1 - p)] },
    generated: { expected: "a b c d", found: "a b" },
  });
  const groups = ["forget", "retain", "real-authors", "world"];

  test("is the harmonic mean of the nine numbers", () => {
    const rows = [row(0, 0.9), row(1, 0.5), row(2, 0.5), row(3, 0.5)];
    expect(metricValue(utility, rows, { ...CONTEXT, groups })).toBeCloseTo(0.5, 6);
    const details = metricDetails(utility, rows, { ...CONTEXT, groups });
    expect(Object.keys(details)).toHaveLength(9);
    expect(details["real normalised probability"]).toBeCloseTo(0.5, 6);
  });

  test("uses the groups that are there, and says which", () => {
    const rows = [row(0, 0.9), row(1, 0.25)];
    const context = { ...CONTEXT, groups: ["forget", "retain"] };
    expect(Object.keys(metricDetails(utility, rows, context))).toEqual([
      "retain probability",
      "retain rouge-l",
      "retain truth ratio",
    ]);
    expect(metricValue(utility, rows, context)).toBeCloseTo(3 / (4 + 2 + 4), 6);
    expect(() => utility.check!(CONTEXT.groups)).toThrow("needs a group named retain, real or world");
  });

  test("any zero makes it zero", () => {
    expect(harmonicMean([1, 0, 1])).toBe(0);
    expect(harmonicMean([0.25, 0.25])).toBe(0.25);
  });
});
