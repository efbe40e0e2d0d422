import { expect, test } from "bun:test";
import fc from "fast-check";
import { chance, kolmogorovSmirnov } from "../../../src/evaluate/measures/kolmogorov-smirnov.ts";

test("samples that are the same have p = 1 and D = 0", () => {
  expect(kolmogorovSmirnov([3, 1, 2, 2], [2, 1, 2, 3])).toEqual({ d: 0, p: 1 });
});

test("D = 0.2 is p = 0.36 of 40 rows and 5e-4 of 200", () => {
  expect(chance(0.2, 20)).toBeCloseTo(0.361, 3);
  expect(chance(0.2, 100)).toBeCloseTo(5.2e-4, 4);
  const sample = (n: number, moved: number) => Array.from({ length: n }, (_, i) => (i < moved ? 2 : i / n));
  expect(kolmogorovSmirnov(sample(40, 0), sample(40, 8))).toEqual({
    d: expect.closeTo(0.2, 12),
    p: expect.closeTo(0.361, 3),
  });
});

test("D is the largest distance of the shares below a value; p falls with it and stays a probability", () => {
  const values = fc.array(fc.integer({ min: 0, max: 6 }), { minLength: 1, maxLength: 15 });
  fc.assert(
    fc.property(values, values, (a, b) => {
      const below = (list: readonly number[], x: number) => list.filter((y) => y <= x).length / list.length;
      const { d, p } = kolmogorovSmirnov(a, b);
      expect(d).toBeCloseTo(Math.max(...[0, 1, 2, 3, 4, 5, 6].map((x) => Math.abs(below(a, x) - below(b, x)))), 12);
      expect(p).toBeWithin(0, 1 + 1e-12);
      expect(kolmogorovSmirnov(b, a)).toEqual({ d, p });
      expect(chance(Math.min(1, d + 0.1), 10)).toBeLessThanOrEqual(chance(d, 10));
    }),
  );
});
