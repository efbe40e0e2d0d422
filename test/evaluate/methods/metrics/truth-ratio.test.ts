import { expect, test } from "bun:test";
import fc from "fast-check";
import { truthRatios } from "../../../../src/evaluate/measures/truth-ratios.ts";
import { method as truthRatio } from "../../../../src/evaluate/methods/metrics/truth-ratio.ts";
import { metricDetails, metricValue, scoredRow, truthRow } from "../../../support/scored-rows.ts";

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
