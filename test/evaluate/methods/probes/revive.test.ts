import { expect, test } from "bun:test";
import { revival, stepsTo } from "../../../../src/evaluate/methods/probes/revive.ts";

test("S counts a start above the goal as one step, and says when it is a bound", () => {
  expect(stepsTo(0.9, [0.1, 0.95, 0.8, 1])).toBe(1);
  expect(stepsTo(0.9, [0.9])).toBe(0);
  expect(stepsTo(0.9, [0.1, 0.2])).toBeUndefined();
  expect(revival(4, 12, 50)).toEqual({ s: 3 });
  expect(revival(0, 12, 50)).toEqual({ s: 12 });
  expect(revival(0, 0, 50)).toEqual({ s: 1 });
  expect(revival(2, undefined, 49)).toEqual({ s: 25, bound: "at least" });
  expect(revival(undefined, 10, 49)).toEqual({ s: 0.2, bound: "at most" });
  expect(revival(undefined, undefined, 49)).toEqual({ s: 1, bound: "none" });
});
