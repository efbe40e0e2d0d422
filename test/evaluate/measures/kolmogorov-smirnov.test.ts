import { expect, test } from "bun:test";
import fc from "fast-check";
import { chance, exactChance, kolmogorovSmirnov } from "../../../src/evaluate/measures/kolmogorov-smirnov.ts";

test("samples that are the same have p = 1 and D = 0", () => {
  expect(kolmogorovSmirnov([3, 1, 2, 2], [2, 1, 2, 3])).toEqual({ d: 0, p: 1 });
});

test("D = 0.2 is p = 0.36 of 40 rows and 5e-4 of 200", () => {
  expect(chance(0.2, 20)).toBeCloseTo(0.361, 3);
  expect(chance(0.2, 100)).toBeCloseTo(5.2e-4, 4);
  const sample = (n: number, moved: number) => Array.from({ length: n }, (_, i) => (i < moved ? 2 : i / n));
  expect(kolmogorovSmirnov(sample(40, 0), sample(40, 8), { exact: false })).toEqual({
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
      expect(kolmogorovSmirnov(b, a)).toEqual({ d, p: expect.closeTo(p, 12) });
      expect(chance(Math.min(1, d + 0.1), 10)).toBeLessThanOrEqual(chance(d, 10));
    }),
  );
});

test("the exact p counts the orders of all values in which samples are as far apart", () => {
  expect(kolmogorovSmirnov([1, 2, 3], [4, 5, 6]).p).toBeCloseTo(2 / 20, 14); // of C(6, 3) orders
  expect(kolmogorovSmirnov([1, 2, 3, 4], [5, 6, 7, 8, 9]).p).toBeCloseTo(2 / 126, 14);
  // n = 40, D = 0.2: 2 sum_k (-1)^(k-1) C(80, 40 - 8k) / C(80, 40), which is scipy's closed form
  const choose = (n: number, k: number) =>
    Array.from({ length: k }, (_, i) => (n - i) / (i + 1)).reduce((a, b) => a * b, 1);
  const closed = [1, 2, 3, 4, 5].map((k) => (2 * (k % 2 ? 1 : -1) * choose(80, 40 - 8 * k)) / choose(80, 40));
  expect(exactChance(0.2 * 1600, 40, 40)).toBeCloseTo(
    closed.reduce((a, b) => a + b),
    12,
  );
  // 200 values all above 200 others: 2 / C(400, 200), far below what 1 - x can tell
  expect(exactChance(200 * 200, 200, 200) / (2 / choose(400, 200))).toBeCloseTo(1, 9);
});

test("the exact p is that of all orders gone through, for samples of any sizes", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 5 }), fc.nat(25), (m, n, distance) => {
      let [all, apart] = [0, 0];
      for (let order = 0; order < 2 ** (m + n); order++) {
        let [i, j, most] = [0, 0, 0];
        for (let k = 0; k < m + n; k++) {
          if ((order >> k) & 1) i++;
          else j++;
          most = Math.max(most, Math.abs(i * n - j * m));
        }
        if (i !== m) continue;
        all++;
        if (most >= distance) apart++;
      }
      expect(exactChance(distance, m, n)).toBeCloseTo(apart / all, 12);
    }),
    { numRuns: 60 },
  );
});
