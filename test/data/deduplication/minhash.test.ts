/** MinHash: the index that signatures tell, the bands in which alike sets meet, and what is found among many. */
import { expect, test } from "bun:test";
import { KeyTable } from "../../../src/data/deduplication/key-table.ts";
import {
  bandsFor,
  cutTo,
  estimated,
  MinHash,
  meetingChance,
  SeenSignatures,
} from "../../../src/data/deduplication/minhash.ts";
import { RowPlaces } from "../../../src/data/deduplication/row-places.ts";
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

test("of few bits of an entry the index is told without bias", () => {
  for (const common of [0, 25, 45]) {
    const errors = Array.from({ length: 60 }, (_, seed) => {
      const { a, b, index } = pairOf(50, common, seed);
      const hash = new MinHash(128, seed);
      return estimated(cutTo(hash.signature(a), 8), cutTo(hash.signature(b), 8), 8) - index;
    });
    expect(Math.abs(errors.reduce((x, y) => x + y, 0) / 60)).toBeLessThan(0.025);
  }
});

test("a table gives all numbers under a key, however far it grew, and some 11 to 16 bytes hold one", () => {
  const table = new KeyTable();
  const random = new Random(3, "keys");
  const keys = Array.from({ length: 5000 }, (_, i) => (i % 10 === 0 ? 2 ** 32 - 1 : random.word()));
  for (const [i, key] of keys.entries()) table.add(key, i);
  const under = (key: number) => {
    const found: number[] = [];
    table.find(key, (value) => found.push(value));
    return found.sort((a, b) => a - b);
  };
  expect(under(2 ** 32 - 1)).toEqual(Array.from({ length: 500 }, (_, i) => 10 * i));
  for (const [i, key] of keys.entries()) if (i % 10 === 1) expect(under(key)).toContain(i);
  expect(under(5)).toEqual([]);
  expect(table.bytes / 5000).toBeWithin(10, 16.5);
});

test("places of rows come back as they were", () => {
  const places = new RowPlaces();
  const given = [...Array.from({ length: 2000 }, (_, i) => `a:b.jsonl:${i}`), "x", "y:01", "z:", "hf:a/b:7", ":3"];
  for (const place of given) places.add(place);
  expect(given.map((_, i) => places.at(i))).toEqual(given);
});

test.each([16, 32, 8] as const)("a signature of %d bits takes no more memory than is said", (bits) => {
  const hash = new MinHash(256, 1);
  const seen = new SeenSignatures(0.7, 256, bits);
  const random = new Random(1, "members");
  for (let i = 0; i < 2048; i++) seen.add(hash.signature([random.word(), random.word()]));
  expect(seen.bytes / 2048 - (256 * bits) / 8).toBeLessThan(16.5 * bandsFor(0.7, 256).count);
  if (bits === 16) expect(seen.bytes / 2048).toBeLessThan(1024);
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
