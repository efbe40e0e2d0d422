import { describe, expect, test } from "bun:test";
import type { FreeNumbers } from "../../../src/merge/tuning/contract.ts";
import { normalized, plain, scaledSimplex } from "../../../src/merge/tuning/free-numbers.ts";
import { adam, sgd } from "../../../src/tensor/descent.ts";

const START = { models: 3, start: Float64Array.of(0.3, 0.5, 0.4, 0.2, 0.9, 0.1) };
const OUTER = Float64Array.of(0.7, -1.1, 0.4, 2, 0.3, -0.6);

/** A loss that is linear in the coefficients, with the penalty of the numbers themselves. */
const lossOf = (numbers: FreeNumbers, free: Float64Array): number =>
  numbers.coefficients(free).reduce((sum, c, i) => sum + c * OUTER[i]!, 0) + (numbers.penalty?.(free) ?? 0);

const WAYS: Record<string, FreeNumbers> = {
  plain: plain(START),
  normalized: normalized(START),
  "a simplex with a scale": scaledSimplex(START, { learnsScale: true, pull: 0.3 }),
};

describe("free numbers", () => {
  test.each(Object.entries(WAYS))("%s: the gradient is that of finite differences", (_, numbers) => {
    const at = numbers.start.map((value, i) => value + 0.05 * i);
    const gradient = numbers.back(at, OUTER);
    for (const i of at.keys()) {
      const moved = (by: number) => lossOf(numbers, at.with(i, at[i]! + by));
      expect(gradient[i]!).toBeCloseTo((moved(1e-5) - moved(-1e-5)) / 2e-5, 7);
    }
  });

  test("plain ones begin as they are given, and stay in their range", () => {
    const numbers = plain(START, [0.2, 0.5]);
    expect([...numbers.coefficients(numbers.start)]).toEqual([...START.start]);
    const free = numbers.start.slice();
    numbers.clamp!(free);
    expect([...free]).toEqual([0.3, 0.5, 0.4, 0.2, 0.5, 0.2]);
  });

  test("normalized ones sum to 1 in every group", () => {
    const found = WAYS.normalized!.coefficients(START.start);
    expect(found[0]! + found[1]! + found[2]!).toBeCloseTo(1, 12);
    expect(found[3]! + found[4]! + found[5]!).toBeCloseTo(1, 12);
    expect(() => normalized({ models: 2, start: Float64Array.of(1, -1) }).coefficients(Float64Array.of(1, -1))).toThrow(
      "sum to 0",
    );
  });

  test("a simplex begins at its shares times their sum, and a scale that is not learnt stays", () => {
    const numbers = scaledSimplex(START, { learnsScale: false, pull: 1 });
    for (const [i, value] of numbers.coefficients(numbers.start).entries())
      expect(value).toBeCloseTo(START.start[i % 3]!, 12);
    expect(numbers.back(numbers.start, OUTER)[3]).toBe(0);
    expect(numbers.penalty!(numbers.start)).toBe(0);
    expect(() => scaledSimplex({ models: 2, start: Float64Array.of(0, 1) }, { learnsScale: true, pull: 0 })).toThrow(
      "positive",
    );
  });
});

test("sgd goes against the gradient, adam's first step is the rate with its sign", () => {
  const plainly = Float64Array.of(1, 2);
  sgd(0.5).step(plainly, Float64Array.of(2, -4));
  expect([...plainly]).toEqual([0, 4]);
  const adaptive = Float64Array.of(1, 2);
  const steps = adam(0.1);
  steps.step(adaptive, Float64Array.of(2, -4));
  expect(adaptive[0]!).toBeCloseTo(0.9, 8);
  expect(adaptive[1]!).toBeCloseTo(2.1, 8);
  // m = 0.9 * 0.2 + 0.1 = 0.28, v = 0.999 * 0.004 + 0.001 = 0.004996; divided by 0.19 and 0.001999
  steps.step(adaptive, Float64Array.of(1, -4));
  expect(adaptive[0]!).toBeCloseTo(0.9 - (0.1 * (0.28 / 0.19)) / Math.sqrt(0.004996 / 0.001999), 8);
});
