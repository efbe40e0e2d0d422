import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { Metric, MetricContext, ScoredRow } from "../../src/evaluate/contract.ts";
import { areaUnderCurve, lowest } from "../../src/evaluate/membership.ts";
import { method as byLoss } from "../../src/evaluate/methods/metrics/membership/mia-loss.ts";
import { method as byMinK } from "../../src/evaluate/methods/metrics/membership/mia-min-k.ts";
import { method as byMinKPlus, minKPlus } from "../../src/evaluate/methods/metrics/membership/mia-min-k-plus.ts";
import { method as byReference } from "../../src/evaluate/methods/metrics/membership/mia-reference.ts";
import { method as byZlib } from "../../src/evaluate/methods/metrics/membership/mia-zlib.ts";
import { privacyLeak, method as privleak } from "../../src/evaluate/methods/metrics/membership/privleak.ts";
import { CONTEXT, scoredRow } from "../support/scored-rows.ts";

test("identical lists cannot be told apart, apart ones can", () => {
  expect(areaUnderCurve([1, 2, 3], [1, 2, 3])).toBe(0.5);
  expect(areaUnderCurve([1, 1], [1, 1, 1])).toBe(0.5);
  expect(areaUnderCurve([1, 2], [3, 4])).toBe(1);
  expect(areaUnderCurve([3, 4], [1, 2])).toBe(0);
  expect(areaUnderCurve([1, 3], [2, 3])).toBe(0.625);
});

test("the area counts pairs", () => {
  const values = fc.array(fc.integer({ min: 0, max: 9 }), { minLength: 1, maxLength: 12 });
  fc.assert(
    fc.property(values, values, (low, high) => {
      const wins = high.flatMap((h) => low.map((l) => (h > l ? 1 : h === l ? 0.5 : 0)));
      const area = areaUnderCurve(low, high);
      expect(area).toBeCloseTo(wins.reduce((a: number, b) => a + b, 0) / wins.length, 12);
      expect(areaUnderCurve(high, low)).toBeCloseTo(1 - area, 12);
    }),
  );
});

test.each([
  [[-1, -5, -2, -3, -4], 0.4, 4.5],
  [[-1, -5], 0.4, 5],
  [[-1, -5, -3], 1, 3],
  [[-2], 0.1, 2],
])("of %j the lowest share %d lies %d below 0", (values, share, expected) => {
  expect(lowest(values, share)).toBeCloseTo(expected, 12);
});

test("0.29 of 100 values are 29, whatever 0.29 * 100 is in binary", () => {
  const values = Array.from({ length: 100 }, (_, i) => i);
  expect(lowest(values, 0.29)).toBeCloseTo(-14, 12);
});

test("min-k++ standardises, with a floor under the variance, and leaves the end out", () => {
  const row = scoredRow({ nll: [1, 2, 99], ended: true, moments: Float32Array.of(-2, 4, -1, 0, 0, 1) });
  // (-1 + 2) / 2 = 0.5 and (-2 + 1) / sqrt(1e-6) = -1000
  expect(minKPlus(row, { ...CONTEXT, minK: 0.5 })).toBeCloseTo(1000, 6);
  expect(minKPlus(row, { ...CONTEXT, minK: 1 })).toBeCloseTo(499.75, 6);
});

/** Losses of forget rows and holdout rows. */
const rowsOf = (forget: readonly number[], holdout: readonly number[]): ScoredRow[] =>
  [forget, holdout].flatMap((list, group) =>
    list.map((loss) =>
      scoredRow({
        group,
        nll: [loss, loss / 2, 0],
        ended: true,
        packedBytes: 20,
        moments: Float32Array.of(-1, 1, -1, 1, -1, 1),
      }),
    ),
  );

describe.each([byLoss, byZlib, byMinK, byMinKPlus].map((metric): [string, Metric] => [metric.name, metric]))(
  "%s",
  (_, metric) => {
    test("is 0.5 for equal groups, 1 where the forget group looks known, 0 where it looks unknown", () => {
      expect(metric.value(rowsOf([1, 2, 3], [1, 2, 3]), CONTEXT)).toBe(0.5);
      expect(metric.value(rowsOf([1, 2], [3, 4, 5]), CONTEXT)).toBe(1);
      expect(metric.value(rowsOf([7, 6], [3, 4, 5]), CONTEXT)).toBe(0);
    });

    test("does not depend on the order of rows, nor on other groups", () => {
      const rows = rowsOf([1, 4, 3], [2, 2, 5]);
      const value = metric.value(rows, CONTEXT);
      expect(metric.value(rows.toReversed(), CONTEXT)).toBe(value);
      const other = { ...rows[0]!, group: 2, nll: Float32Array.of(9, 9, 9) };
      expect(metric.value([other, ...rows], { ...CONTEXT, groups: ["forget", "holdout", "retain"] })).toBe(value);
    });

    test("asks for both groups by name", () => {
      const check = (groups: string[], names: Partial<MetricContext> = {}) =>
        metric.check!({ ...CONTEXT, ...names, groups, gold: false });
      expect(() => check(["forget", "holdout"])).not.toThrow();
      expect(() => check(["a", "b"], { forget: "a", holdout: "b" })).not.toThrow();
      expect(() => check(["forget", "held"])).toThrow(
        `--metric ${metric.name} needs a group named holdout; the data has forget, held`,
      );
    });
  },
);

test("loss against a reference takes what is easy for everybody away", () => {
  const [rows, gold] = [rowsOf([1, 5], [2, 6]), rowsOf([2, 6], [2, 6])];
  expect(byReference.value(rows, { ...CONTEXT, gold })).toBe(1);
  expect(byReference.value(gold, { ...CONTEXT, gold })).toBe(0.5);
});

test("privacy leakage is 0 like gold, -100 where everything is remembered, above where too much was removed", () => {
  expect(privacyLeak(0.5, 0.5)).toBe(0);
  expect(privacyLeak(0.7, 0.7)).toBe(0);
  expect(privacyLeak(1, 0.5)).toBeCloseTo(-100, 6);
  expect(privacyLeak(0, 0.5)).toBeCloseTo(100, 6);
  const rows = rowsOf([1, 3], [2, 4]);
  expect(privleak.value(rows, CONTEXT)).toBeCloseTo((100 * (0.25 - 0.5)) / 0.5, 6);
  expect(privleak.value(rows, { ...CONTEXT, gold: rows })).toBe(0);
  expect(privleak.details!(rows, CONTEXT)).toEqual({ auc: 0.75, "auc of gold": 0.5 });
});
