/** Packed log-probabilities: what comes back, how near, and in how many bytes. */
import { describe, expect, test } from "bun:test";
import {
  ALL_TERMS,
  type CodeLayout,
  curveAt,
  fitCurve,
  packToken,
  tokenBytes,
  unpackToken,
} from "../../../src/run/teachers/packed-codes.ts";
import { normals, randomUnits } from "../../support/random.ts";

const NOTHING = -1e30;

/** The k likeliest of a made-up distribution over a vocabulary, ids ascending. */
function made(seed: number, vocabulary: number, k: number) {
  const logits = normals(seed, vocabulary, 3);
  const most = logits.reduce((a, b) => Math.max(a, b));
  const sum = Math.log(logits.reduce((total, x) => total + Math.exp(x - most), 0)) + most;
  const ids = [...logits.keys()].sort((a, b) => logits[b]! - logits[a]!).slice(0, k);
  ids.sort((a, b) => a - b);
  return { ids, logProbs: ids.map((id) => logits[id]! - sum) };
}
const through = (given: ReturnType<typeof made>, layout: CodeLayout) => {
  const bytes = new Uint8Array(tokenBytes(layout));
  packToken(given.ids, given.logProbs, layout, bytes);
  return unpackToken(bytes, layout, NOTHING);
};

test("bytes of a token are those of the card's two presets", () => {
  const wide = { vocabulary: 128_256, k: 128, exact: 16, terms: ALL_TERMS, bits: 0 };
  // 128 ids of 17 bits, 16 bf16, 6 f32
  expect(tokenBytes(wide)).toBe(272 + 32 + 24);
  expect(tokenBytes({ ...wide, k: 50, exact: 1, terms: ["1", "t", "sqrt"] })).toBe(107 + 2 + 12);
  expect(tokenBytes({ ...wide, bits: 4 })).toBe(328 + 4 + 56);
});

describe.each([
  [1000, 40, 8],
  [50, 50, 4],
  [2, 2, 1],
  [7, 1, 1],
  [300, 12, 12],
  [300, 12, 0],
] as const)("vocabulary %d, k %d, exact %d", (vocabulary, k, exact) => {
  test.each([0, 6])("ids come back as they were, log-probabilities nearly, bins of %d bits", (bits) => {
    const layout = { vocabulary, k, exact, terms: ALL_TERMS, bits };
    for (let seed = 1; seed < 6; seed++) {
      const given = made(seed, vocabulary, k);
      const { ids, logProbs, tail } = through(given, layout);
      expect([...ids]).toEqual(given.ids);
      const mass = logProbs.reduce((sum, value) => sum + Math.exp(value), tail > NOTHING ? Math.exp(tail) : 0);
      expect(Math.abs(mass - 1)).toBeLessThan(1e-5);
      const ranked = given.logProbs.toSorted((a, b) => b - a);
      let missed = 0;
      for (const [i, value] of given.logProbs.entries()) {
        const error = Math.abs(logProbs[i]! - value);
        missed += error / k;
        // bf16 has 8 bits; what is over 1 was taken off all alike.
        if (ranked.indexOf(value) < exact) expect(error).toBeLessThan(0.02 + Math.abs(value) / 200);
        else if (bits > 0) expect(error).toBeLessThan(0.1);
      }
      expect(missed).toBeLessThan(0.5); // a curve alone is near, not exact
    }
  });
});

test("bins bring what the curve misses down to half a step", () => {
  const [vocabulary, k] = [5000, 64];
  const given = made(3, vocabulary, k);
  const worst = (bits: number) => {
    const layout = { vocabulary, k, exact: 4, terms: ["1", "t"] as const, bits };
    return through(given, layout).logProbs.reduce((most, x, i) => Math.max(most, Math.abs(x - given.logProbs[i]!)), 0);
  };
  expect(worst(4)).toBeLessThan(worst(0) / 3);
  expect(worst(10)).toBeLessThan(0.03); // bf16's own
});

test("a curve of its own terms is found again, and no other fits better", () => {
  const terms = ALL_TERMS;
  const wanted = Float32Array.of(-3, 2, -4, 1, 0.5, -1);
  const values = curveAt(wanted, terms, 40);
  const error = (c: Float32Array, of: readonly number[]) =>
    curveAt(c, terms, of.length).reduce((sum, x, t) => sum + (x - of[t]!) ** 2, 0);
  expect(error(fitCurve(values, terms), values)).toBeLessThan(1e-9);
  const unit = randomUnits(3);
  const noisy = values.map((x) => x + unit() - 0.5);
  const best = fitCurve(noisy, terms);
  for (let j = 0; j < terms.length; j++)
    for (const step of [-0.01, 0.01]) {
      const other = best.map((x, i) => (i === j ? x + step : x));
      expect(error(other, noisy)).toBeGreaterThan(error(best, noisy));
    }
});
