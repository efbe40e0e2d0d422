import { expect, test } from "bun:test";
import { numberIn } from "../../../../src/evaluate/measures/written-numbers.ts";
import { method } from "../../../../src/evaluate/methods/metrics/number-error.ts";
import type { ScoredRow } from "../../../../src/run/scoring/scored-row.ts";

const row = (expected: string, found: string): ScoredRow =>
  ({ group: 0, targets: Int32Array.of(1), nll: Float32Array.of(1), generated: { expected, found } }) as never;
const setup = { values: {}, groups: ["all"] } as never;

test("numbers are read in tokens of digits and as they are usually written", () => {
  expect(["_1_1__2_0__3_-1_", " -2.5 ", "1e3", ".5", "five", "1 2", ""].map(numberIn)).toEqual([
    12.3,
    -2.5,
    1000,
    0.5,
    undefined,
    undefined,
    undefined,
  ]);
});

test("the error is in the units of the numbers, and the mean of the right ones stands for what is none", () => {
  const rows = [row("_1_0_", "_2_0_"), row("_3_0_", "3"), row("_8_0_", "no"), row("a word", "1")];
  // Errors 1, 0 and 8 - 4.
  expect(method.value(rows, setup)).toBeCloseTo(Math.sqrt(17 / 3), 12);
  expect(method.details!(rows, setup)).toEqual({ spearman: 1, unread: expect.closeTo(1 / 3, 12) });
  expect(method.value([row("a", "b")], setup)).toBeNaN();
});
