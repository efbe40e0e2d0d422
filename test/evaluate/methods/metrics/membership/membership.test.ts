import { describe, expect, test } from "bun:test";
import { method as byLoss } from "../../../../../src/evaluate/methods/metrics/membership/mia-loss.ts";
import { method as byMinK } from "../../../../../src/evaluate/methods/metrics/membership/mia-min-k.ts";
import { method as byMinKPlus } from "../../../../../src/evaluate/methods/metrics/membership/mia-min-k-plus.ts";
import { method as byReference } from "../../../../../src/evaluate/methods/metrics/membership/mia-reference.ts";
import { method as byZlib } from "../../../../../src/evaluate/methods/metrics/membership/mia-zlib.ts";
import { privacyLeak, method as privleak } from "../../../../../src/evaluate/methods/metrics/membership/privleak.ts";
import type { Metric } from "../../../../../src/run/measuring/metric.ts";
import type { ScoredRow } from "../../../../../src/run/scoring/scored-row.ts";
import { CONTEXT, metricDetails, metricValue, scoredRow } from "../../../../support/scored-rows.ts";

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
      expect(metricValue(metric, rowsOf([1, 2, 3], [1, 2, 3]))).toBe(0.5);
      expect(metricValue(metric, rowsOf([1, 2], [3, 4, 5]))).toBe(1);
      expect(metricValue(metric, rowsOf([7, 6], [3, 4, 5]))).toBe(0);
    });

    test("does not depend on the order of rows, nor on other groups", () => {
      const rows = rowsOf([1, 4, 3], [2, 2, 5]);
      const value = metricValue(metric, rows);
      expect(metricValue(metric, rows.toReversed())).toBe(value);
      const other = { ...rows[0]!, group: 2, nll: Float32Array.of(9, 9, 9) };
      expect(metricValue(metric, [other, ...rows], { ...CONTEXT, groups: ["forget", "holdout", "retain"] })).toBe(
        value,
      );
    });

    test("needs both groups", () => expect(metric.roles).toEqual(["forget", "holdout"]));
  },
);

test("loss against a reference takes what is easy for everybody away", () => {
  const [rows, gold] = [rowsOf([1, 5], [2, 6]), rowsOf([2, 6], [2, 6])];
  expect(metricValue(byReference, rows, { ...CONTEXT, gold })).toBe(1);
  expect(metricValue(byReference, gold, { ...CONTEXT, gold })).toBe(0.5);
});

test("privacy leakage is 0 like gold, -100 where everything is remembered, above where too much was removed", () => {
  expect(privacyLeak(0.5, 0.5)).toBe(0);
  expect(privacyLeak(0.7, 0.7)).toBe(0);
  expect(privacyLeak(1, 0.5)).toBeCloseTo(-100, 6);
  expect(privacyLeak(0, 0.5)).toBeCloseTo(100, 6);
  const rows = rowsOf([1, 3], [2, 4]);
  expect(metricValue(privleak, rows)).toBeCloseTo((100 * (0.25 - 0.5)) / 0.5, 6);
  expect(metricValue(privleak, rows, { ...CONTEXT, gold: rows })).toBe(0);
  expect(metricDetails(privleak, rows)).toEqual({ auc: 0.75, "auc of gold": 0.5 });
});
