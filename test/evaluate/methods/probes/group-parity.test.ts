import { expect, test } from "bun:test";
import { method, parityOf } from "../../../../src/evaluate/methods/probes/group-parity.ts";

test("values that are alike are at parity; what is apart is told three ways", () => {
  expect(parityOf([0.5, 0.5, 0.5])).toEqual({ range: 0, std: 0, parity: 0 });
  const { range, std, parity } = parityOf([0.9, 0.5, 0.1, 0.5]);
  expect(range).toBeCloseTo(0.8, 12);
  expect(std).toBeCloseTo(Math.sqrt(0.32 / 4), 12);
  expect(parity).toBeCloseTo(0.8, 12);
  expect(parityOf([0.5, Number.NaN]).range).toBeNaN();
});

test("one group cannot be compared", () => {
  const info = { values: {}, metrics: [], gold: false, models: 1, groups: ["a"], forget: "a", holdout: "b" };
  expect(() => method.check?.(info)).toThrow("compares groups, and there is one");
});
