/** Kernel balance: rows that were drawn by a feature look like the pool again, and where nothing is to be done. */
import { describe, expect, test } from "bun:test";
import {
  discrepancy,
  dualWeights,
  effectiveSize,
  gapsOf,
  gapWeights,
  kernelOf,
  type Sample,
  scaleFeatures,
} from "../../src/curriculum/kernel-balance.ts";
import { Random } from "../../src/data/random.ts";

const DUAL = { kernelGamma: 4, tolerance: 1e-3, anchors: "worst-case", count: 16, seed: 1 } as const;
const GAP = { ...DUAL, count: 3, strength: 30, steps: 150, lr: 0.05 } as const;

/** Normal features; rows are seen with a probability that depends on the first of them, where `bias` is not 0. */
function drawn(seed: number, bias: number, count = 250) {
  const random = new Random(seed, "balance");
  const draw = () => Float64Array.from({ length: 3 }, () => random.normal());
  const pool = Array.from({ length: 2 * count }, draw);
  const rows: Float64Array[] = [];
  while (rows.length < count) {
    const x = draw();
    if (random.uniform() < 1 / (1 + Math.exp(-bias * x[0]!))) rows.push(x);
  }
  const sample: Sample = { ...scaleFeatures(rows, pool), prior: new Float64Array(count).fill(1) };
  return { rows, pool, sample };
}
const meanOf = (rows: readonly Float64Array[], of: (x: Float64Array) => number, weights?: Float64Array) =>
  rows.reduce((sum, x, i) => sum + (weights?.[i] ?? 1) * of(x), 0) / rows.length;

describe.each([
  ["dual", (sample: Sample) => dualWeights(sample, DUAL), 5],
  ["gap", (sample: Sample) => gapWeights(sample, GAP), 3],
] as const)("%s", (_, weigh, times) => {
  test("brings the discrepancy down, and the means of smooth functions near to the pool's", () => {
    for (const seed of times > 4 ? [1, 2] : [1]) {
      const { rows, pool, sample } = drawn(seed, 1.5);
      const weights = weigh(sample);
      expect(meanOf(rows, () => 1, weights)).toBeCloseTo(1, 6);
      expect(weights.every((w) => w > 0)).toBe(true);
      const apart = (w: Float64Array) => discrepancy(sample.rows, w, sample.pool, 4);
      expect(apart(sample.prior) / apart(weights)).toBeGreaterThan(times);
      for (const f of [
        (x: Float64Array) => x[0]!,
        (x: Float64Array) => Math.tanh(x[0]! + x[1]!),
        (x: Float64Array) => Math.sin(x[0]!),
      ]) {
        const [far, near] = [meanOf(rows, f) - meanOf(pool, f), meanOf(rows, f, weights) - meanOf(pool, f)];
        expect(Math.abs(near)).toBeLessThan(Math.max(0.12, 0.5 * Math.abs(far)));
      }
      expect(effectiveSize(weights)).toBeLessThan(0.95 * rows.length);
    }
  });

  test("weighs rows of the pool's own distribution about alike, and goes from weights to begin with", () => {
    const { rows, sample } = drawn(3, 0);
    expect(effectiveSize(weigh(sample))).toBeGreaterThan(0.85 * rows.length);
    const doubled = { ...sample, prior: sample.prior.map((_, i) => (i % 2 === 0 ? 1.5 : 0.5)) };
    const weights = weigh(doubled);
    const even = weights.filter((_, i) => i % 2 === 0).reduce((a, b) => a + b, 0);
    expect(even / rows.length).toBeGreaterThan(0.65);
  });

  test("is the same for one seed", () => {
    const { sample } = drawn(4, 1, 60);
    expect(weigh(sample)).toEqual(weigh(sample));
  });
});

test("a tolerance without end leaves the weights to begin with", () => {
  const { sample } = drawn(5, 1, 60);
  const prior = sample.prior.map((_, i) => (i % 2 === 0 ? 1.5 : 0.5));
  const tolerance = Number.POSITIVE_INFINITY;
  for (const weights of [
    dualWeights({ ...sample, prior }, { ...DUAL, tolerance }),
    gapWeights({ ...sample, prior }, { ...GAP, tolerance }),
  ])
    for (const [i, w] of weights.entries()) expect(w).toBeCloseTo(prior[i]!, 9);
});

test("the dual's gaps at its own anchors are the tolerance times its multipliers: next to none with a small one", () => {
  const { sample } = drawn(6, 1.5, 120);
  // Few anchors, so that each can be met: all of a small pool.
  const pool = sample.pool.slice(0, 6);
  const given = { ...sample, pool };
  const weights = dualWeights(given, { ...DUAL, anchors: "random", count: 6, tolerance: 1e-6 });
  for (const gap of gapsOf(pool, sample.rows, weights, pool, 4)) expect(Math.abs(gap)).toBeLessThan(1e-3);
});

test("adaptive anchors go where losses depend on it", () => {
  const { sample } = drawn(7, 1.5, 200);
  // Losses that are large about one member of the pool alone.
  const peak = sample.pool[11]!;
  const losses = Float64Array.from(sample.rows, (row) => 5 * kernelOf(peak, row, 40));
  const weights = dualWeights({ ...sample, losses }, { ...DUAL, anchors: "adaptive", count: 4 });
  const of = (w?: Float64Array) =>
    Math.abs(meanOf(sample.rows, (x) => kernelOf(peak, x, 4), w) - meanOf(sample.pool, (x) => kernelOf(peak, x, 4)));
  expect(of(weights)).toBeLessThan(0.3 * of());
});

test("features are scaled over both, and those that never change count for nothing", () => {
  const rows = [Float64Array.of(0, 7), Float64Array.of(5, 7)];
  const scaled = scaleFeatures(rows, [Float64Array.of(10, 7)]);
  expect([...scaled.rows, ...scaled.pool].map((row) => [...row])).toEqual([
    [0, 0],
    [0.5 / Math.SQRT2, 0],
    [1 / Math.SQRT2, 0],
  ]);
});
