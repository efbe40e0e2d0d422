import { expect, test } from "bun:test";
import fc from "fast-check";
import { areaUnderCurve, attackArea, byLoss, byMinKPlus, lowest } from "../../../src/evaluate/measures/membership.ts";
import { CONTEXT, scoredRow } from "../../support/scored-rows.ts";

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
  expect(byMinKPlus(row, 0.5)).toBeCloseTo(1000, 6);
  expect(byMinKPlus(row, 1)).toBeCloseTo(499.75, 6);
});

test("a row without a loss is left out, not the surest member", () => {
  const known = [0, 1].map((group) => scoredRow({ group, nll: [1 + group] }));
  const cut = scoredRow({ group: 1, nll: [] });
  expect(byLoss(cut, 1)).toBeNaN();
  expect(attackArea([...known, cut], CONTEXT, byLoss, 1)).toBe(1);
});
