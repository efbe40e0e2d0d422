/** MinHash: the index that signatures tell, the bands in which alike sets meet, and what is found among many. */
import { expect, test } from "bun:test";
import {
  bandsFor,
  estimated,
  MinHash,
  meetingChance,
  SeenSignatures,
} from "../../../src/data/deduplication/minhash.ts";
import { Random } from "../../../src/data/random.ts";

/** Two sets of n members with so many in common, and their Jaccard index. */
function pairOf(n: number, common: number, seed: number): { a: number[]; b: number[]; index: number } {
  const random = new Random(seed, "pair");
  const all = new Set<number>();
  while (all.size < 2 * n - common) all.add(random.word());
  const words = [...all];
  return { a: words.slice(0, n), b: words.slice(n - common), index: common / (2 * n - common) };
}

test("the share of equal entries is the Jaccard index, without bias and with the spread of P draws", () => {
  const permutations = 128;
  for (const common of [0, 10, 25, 40, 50]) {
    const errors = Array.from({ length: 60 }, (_, seed) => {
      const { a, b, index } = pairOf(50, common, seed);
      const hash = new MinHash(permutations, seed);
      return estimated(hash.signature(a), hash.signature(b)) - index;
    });
    const { index } = pairOf(50, common, 0);
    const spread = Math.sqrt((index * (1 - index)) / permutations);
    const mean = errors.reduce((x, y) => x + y, 0) / errors.length;
    expect(Math.abs(mean)).toBeLessThanOrEqual(4 * (spread / Math.sqrt(60)) + 1e-12);
    const variance = errors.reduce((sum, x) => sum + x * x, 0) / errors.length;
    expect(variance).toBeLessThanOrEqual(2 * spread ** 2 + 1e-12);
  }
});

test("bands err least of all cuts, and meet above the index far more often than below it", () => {
  for (const similarity of [0.3, 0.5, 0.7, 0.9]) {
    const bands = bandsFor(similarity, 128);
    expect(bands.count * bands.rows).toBeLessThanOrEqual(128);
    expect(meetingChance(Math.min(1, similarity + 0.15), bands)).toBeGreaterThan(0.85);
    expect(meetingChance(Math.max(0, similarity - 0.2), bands)).toBeLessThan(0.35);
  }
});

test("an alike signature is found among thousands, and nothing is found for one that is like none", () => {
  const hash = new MinHash(256, 1);
  const seen = new SeenSignatures(0.7, 256);
  const pairs = Array.from({ length: 300 }, (_, i) => pairOf(40, i % 2 === 0 ? 38 : 20, 1000 + i));
  for (const { a } of pairs) seen.add(hash.signature(a));
  for (const [i, { b, index }] of pairs.entries()) {
    const found = seen.nearest(hash.signature(b));
    if (i % 2 === 1) expect(found).toBeUndefined();
    else {
      expect(found?.seen).toBe(i);
      expect(Math.abs(found!.index - index)).toBeLessThan(0.12);
    }
  }
});
