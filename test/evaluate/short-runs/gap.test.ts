import { expect, test } from "bun:test";
import { gapOf } from "../../../src/evaluate/short-runs/gap.ts";

const of = (...losses: number[]) => gapOf(losses.map((loss, i) => ({ step: 5 * i, loss })));

test("a rise has a depth, a worst step and a step at which it is over", () => {
  expect(of(2, 3, 2.5, 2, 1)).toEqual({ before: 2, after: 1, gap: 1, worst: 5, recovery: 15, gain: 1 });
});

test("a loss that is not down again has no recovery; one that never rises has no gap", () => {
  expect(of(2, 1, 3, 2.5)).toEqual({ before: 2, after: 2.5, gap: 1, worst: 10, recovery: null, gain: -0.5 });
  expect(of(2, 2, 1)).toEqual({ before: 2, after: 1, gap: 0, worst: 0, recovery: 0, gain: 1 });
  expect(() => of()).toThrow("a course needs points");
});
