/** Random streams, permutations and elementary functions of procedural data. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { cos, exp, ln, sin } from "../../src/data/portable.ts";
import { balancedLabel, permutation, Random } from "../../src/data/random.ts";

test("elementary functions agree with the machine's to 1e-13", () => {
  fc.assert(
    fc.property(fc.double({ min: 1e-300, max: 1e300, noNaN: true }), (x) => {
      expect(Math.abs(ln(x) - Math.log(x))).toBeLessThanOrEqual(1e-13 * Math.max(1e-3, Math.abs(Math.log(x))));
    }),
    { seed: 1, numRuns: 500 },
  );
  for (let x = -690; x <= 690; x += 0.37) expect(Math.abs(exp(x) / Math.exp(x) - 1)).toBeLessThan(1e-13);
  for (let x = -1.6; x <= 1.6; x += 0.01) {
    expect(Math.abs(sin(2 * x) - Math.sin(2 * x))).toBeLessThan(1e-14);
    expect(Math.abs(cos(2 * x) - Math.cos(2 * x))).toBeLessThan(1e-14);
  }
  expect(ln(0)).toBe(Number.NEGATIVE_INFINITY);
  expect(exp(-1000)).toBe(0);
});

test("permutations hit every place once, and depend on their key", () => {
  for (const n of [1, 2, 3, 17, 64, 1000, 4097]) {
    const place = permutation(n, "a", 1);
    expect(new Set(Array.from({ length: n }, (_, i) => place(i))).size).toBe(n);
    for (let i = 0; i < n; i++) expect(place(i)).toBeLessThan(n);
  }
  const [a, b] = [permutation(1000, "a"), permutation(1000, "b")];
  expect(Array.from({ length: 50 }, (_, i) => a(i))).not.toEqual(Array.from({ length: 50 }, (_, i) => b(i)));
  expect(() => a(1000)).toThrow("index 1000 is outside 0..999");
});

test("whole numbers are equally likely, normal values have the moments of the normal distribution", () => {
  const random = new Random("moments");
  const counts = new Array<number>(7).fill(0);
  for (let i = 0; i < 70_000; i++) counts[random.below(7)]!++;
  // Chi-squared with 6 degrees of freedom exceeds 22.5 in 1 of 1000 runs; the seed is fixed.
  expect(counts.reduce((sum, count) => sum + (count - 10_000) ** 2 / 10_000, 0)).toBeLessThan(22.5);
  let [mean, square, fourth] = [0, 0, 0];
  const N = 100_000;
  for (let i = 0; i < N; i++) {
    const x = random.normal();
    mean += x / N;
    square += x ** 2 / N;
    fourth += x ** 4 / N;
  }
  expect(Math.abs(mean)).toBeLessThan(4 / Math.sqrt(N));
  expect(Math.abs(square - 1)).toBeLessThan(4 * Math.sqrt(2 / N));
  expect(Math.abs(fourth - 3)).toBeLessThan(4 * Math.sqrt(96 / N));
});

test("every run of labels holds each class once", () => {
  for (let block = 0; block < 20; block++) {
    const labels = Array.from({ length: 10 }, (_, i) => balancedLabel(10, 10 * block + i, "key"));
    expect(labels.sort((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  }
});

test("words are those of xoshiro128** as its authors describe it", () => {
  const mask = 0xffffffffn;
  const rotate = (x: bigint, bits: bigint) => ((x << bits) | (x >> (32n - bits))) & mask;
  const [low, high] = [1n, 2n].map((seed) => Bun.hash.xxHash64("0\0stream", seed)) as [bigint, bigint];
  let s = [low & mask, low >> 32n, high & mask, (high >> 32n) | 1n] as [bigint, bigint, bigint, bigint];
  const random = new Random(0, "stream");
  for (let i = 0; i < 100; i++) {
    const expected = (rotate((s[1] * 5n) & mask, 7n) * 9n) & mask;
    const [a, b, c, d] = s;
    s = [a ^ d ^ b, a ^ b ^ c, a ^ c ^ ((b << 9n) & mask), rotate(b ^ d, 11n)];
    expect(random.word()).toBe(Number(expected));
  }
});

test("streams keep their values: rows made earlier can be made again", () => {
  const random = new Random(0, "stream");
  expect([random.word(), random.word(), random.word()]).toEqual([1086788321, 2820388032, 4116799239]);
});
