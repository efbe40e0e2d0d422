/** How sure a distribution is. */
import { describe, expect, test } from "bun:test";
import { confidence } from "../../src/run/confidence.ts";

const logitsOf = (p: readonly number[]) => p.map((x) => Math.log(x));

describe.each(["variance", "entropy"] as const)("%s", (kind) => {
  test("is 0 where all are alike and 1 where one has all", () => {
    for (const count of [2, 3, 50]) {
      expect(confidence(new Float32Array(count).fill(4), kind, 1)).toBeCloseTo(0, 12);
      const sure = new Float32Array(count).fill(Number.NEGATIVE_INFINITY);
      sure[1] = 3;
      expect(confidence(sure, kind, 1)).toBe(1);
      expect(confidence(Float32Array.of(...new Array(count - 1).fill(-200), 200), kind, 1)).toBe(1);
    }
    expect(confidence([7], kind, 2)).toBe(1);
  });

  test("does not change when all logits do by the same, and lies between", () => {
    const logits = [0.3, -2, 1.7, 0.2];
    const c = confidence(logits, kind, 1);
    expect(c > 0 && c < 1).toBe(true);
    expect(
      confidence(
        logits.map((x) => x + 90),
        kind,
        1,
      ),
    ).toBeCloseTo(c, 10);
    expect(confidence(logits, kind, 2)).toBeCloseTo(c * c, 12);
    expect(confidence(logits, kind, 0)).toBe(1);
  });
});

test("values by hand", () => {
  const p = [0.5, 0.25, 0.25];
  // squares 0.375, less a third, by two thirds
  expect(confidence(logitsOf(p), "variance", 1)).toBeCloseTo((0.375 - 1 / 3) / (2 / 3), 12);
  expect(confidence(logitsOf(p), "entropy", 1)).toBeCloseTo(1 - (1.5 * Math.LN2) / Math.log(3), 12);
});
