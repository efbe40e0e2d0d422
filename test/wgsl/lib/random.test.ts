/**
 * The quality of lib/random: a run of words is as even, and as unlike its neighbours and other keys' runs, as chance
 * allows.
 */

import { beforeAll, describe, expect, test } from "bun:test";
import type { Gpu } from "../../../src/gpu/gpu.ts";
import { spanGroups } from "../../../src/gpu/grid.ts";
import { randomKey } from "../../../src/merge/job/random-key.ts";
import { randomWordAt } from "../../support/counter-random.ts";
import { sharedGpu } from "../../support/gpu.ts";

const KERNEL = "../test/wgsl/lib/kernels/random-words";
const COUNT = 1 << 20;

type Key = readonly [number, number];
const KEYS: Key[] = [
  randomKey(0, "model.embed_tokens.weight", 0),
  randomKey(1, "w", 3),
  [0, 0],
  [1, 0],
  [0xffffffff, 1],
];

let gpu: Gpu;
beforeAll(async () => {
  gpu = await sharedGpu();
});

async function words(key: Key, count = COUNT, start = 0, threshold?: number): Promise<Uint32Array> {
  const kernel = await gpu.kernel(KERNEL, { flags: threshold === undefined ? [] : ["chance"] });
  const n4 = Math.ceil(count / 4);
  using result = gpu.buffer(16 * n4, "words");
  gpu.run(kernel, {
    bind: { result: result.buffer },
    params: { n4, start, key_x: key[0], key_y: key[1], threshold: threshold ?? 0 },
    groups: spanGroups(n4),
  });
  return gpu.readWords(result.buffer, count);
}

/** How far the counts are from even, in standard deviations of the chi-square statistic. */
function unevenness(counts: ArrayLike<number>, total: number): number {
  const expected = total / counts.length;
  let chi = 0;
  for (let i = 0; i < counts.length; i++) chi += (counts[i]! - expected) ** 2 / expected;
  const freedom = counts.length - 1;
  return (chi - freedom) / Math.sqrt(2 * freedom);
}

function histogram(values: Uint32Array, bins: number, bin: (word: number, index: number) => number): Uint32Array {
  const counts = new Uint32Array(bins);
  for (let i = 0; i < values.length; i++) counts[bin(values[i]!, i)]! += 1;
  return counts;
}

/** Bits that are set in every byte. */
const BITS = Uint8Array.from({ length: 256 }, (_, byte) => byte.toString(2).replaceAll("0", "").length);
const bitsSet = (word: number): number =>
  BITS[word & 255]! + BITS[(word >>> 8) & 255]! + BITS[(word >>> 16) & 255]! + BITS[word >>> 24]!;

test("the words of a key are fixed for good: masks must not change from version to version", async () => {
  const key = [0x01234567, 0x89abcdef] as const;
  const expected = [0, 1, 2, 0xffffffff].map((index) => randomWordAt(index, key));
  expect([...(await words(key, 3))]).toEqual(expected.slice(0, 3));
  expect((await words(key, 1, 0xffffffff))[0]).toBe(expected[3]!);
});

describe.each(KEYS.map((key) => [key]))("with key %p", (key) => {
  let values: Uint32Array;
  beforeAll(async () => {
    values = await words(key);
  });

  test("every byte is evenly spread", () => {
    for (const shift of [0, 8, 16, 24]) {
      const off = unevenness(
        histogram(values, 256, (word) => (word >>> shift) & 0xff),
        COUNT,
      );
      expect(Math.abs(off)).toBeLessThan(5);
    }
    const high = unevenness(
      histogram(values, 4096, (word) => word >>> 20),
      COUNT,
    );
    expect(Math.abs(high)).toBeLessThan(5);
  });

  test("every bit is set half of the time", () => {
    for (let bit = 0; bit < 32; bit++) {
      let ones = 0;
      for (let i = 0; i < values.length; i++) ones += (values[i]! >>> bit) & 1;
      expect(Math.abs(ones - COUNT / 2)).toBeLessThan(5 * Math.sqrt(COUNT / 4));
    }
  });

  test.each([1, 2, 3, 4, 64, 255, 1024, 4096])("words %d apart know nothing of each other", (lag) => {
    const pairs = values.subarray(lag);
    const top = unevenness(
      histogram(pairs, 1024, (word, i) => ((word >>> 27) << 5) | (values[i]! >>> 27)),
      pairs.length,
    );
    expect(Math.abs(top)).toBeLessThan(5);
    let agreeing = 0;
    for (let i = 0; i < pairs.length; i++) agreeing += 32 - bitsSet((pairs[i]! ^ values[i]!) >>> 0);
    expect(Math.abs(agreeing - 16 * pairs.length)).toBeLessThan(5 * Math.sqrt(8 * pairs.length));
  });

  test("no word comes twice: the words of a key are a permutation", () => {
    const sorted = values.toSorted();
    expect(sorted.findIndex((word, i) => word === sorted[i - 1])).toBe(-1);
  });

  test("chunks make the words of the whole", async () => {
    for (const [start, length] of [
      [0, 5],
      [1, 4_097],
      [255, 10_007],
      [COUNT - 3, 3],
    ] as const) {
      expect(await words(key, length, start)).toEqual(values.slice(start, start + length));
    }
  });
});

test("flipping a bit of the index flips every bit of the word about half of the time", async () => {
  const sample = 1 << 16;
  const from = await words(KEYS[0]!, sample);
  let worst = 0;
  for (let flip = 0; flip < 20; flip++) {
    // A bit of the first word of the key is a bit of the index.
    const to = await words([(KEYS[0]![0] ^ (1 << flip)) >>> 0, KEYS[0]![1]], sample);
    for (let bit = 0; bit < 32; bit++) {
      let flipped = 0;
      for (let i = 0; i < sample; i++) flipped += ((from[i]! ^ to[i]!) >>> bit) & 1;
      worst = Math.max(worst, Math.abs(flipped / sample - 0.5));
    }
  }
  expect(worst).toBeLessThan(0.1);
});

test("different tensors, models and seeds draw independently", async () => {
  const keys = [
    randomKey(0, "a.weight", 0),
    randomKey(0, "a.weight", 1),
    randomKey(0, "b.weight", 0),
    randomKey(1, "a.weight", 0),
    randomKey(2, "a.weight", 0),
  ];
  const streams = await Promise.all(keys.map((key) => words(key, 1 << 18)));
  for (const [i, a] of streams.entries()) {
    for (const b of streams.slice(i + 1)) {
      const joint = unevenness(
        histogram(a, 1024, (word, at) => ((word >>> 27) << 5) | (b[at]! >>> 27)),
        a.length,
      );
      expect(Math.abs(joint)).toBeLessThan(5);
    }
  }
});

describe("bernoulli", () => {
  test.each([0.001, 0.01, 0.1, 1 / 3, 0.5, 0.9, 0.999])("is true with probability %d", async (p) => {
    for (const key of KEYS.slice(0, 2)) {
      const draws = await words(key, COUNT, 0, Math.round(p * 2 ** 24));
      const mean = draws.reduce((sum, draw) => sum + draw, 0) / COUNT;
      // A permutation is drawn from without replacement, so the spread is a little below the binomial one.
      expect(Math.abs(mean - p)).toBeLessThan(5 * Math.sqrt((p * (1 - p)) / COUNT) + 2 ** -24);
    }
  });

  test("is always true at 2^24 and never at 0", async () => {
    expect((await words(KEYS[0]!, 4_099, 0, 1 << 24)).every((draw) => draw === 1)).toBe(true);
    expect((await words(KEYS[0]!, 4_099, 0, 0)).every((draw) => draw === 0)).toBe(true);
  });

  test("survives more at a higher probability, and everything that survived a lower one", async () => {
    const low = await words(KEYS[1]!, 65_537, 0, 3 << 20);
    const high = await words(KEYS[1]!, 65_537, 0, 5 << 20);
    expect(low.every((draw, i) => draw <= high[i]!)).toBe(true);
  });

  test("of two models coincides as often as independent draws do", async () => {
    const p = 0.3;
    const threshold = Math.round(p * 2 ** 24);
    const [a, b] = await Promise.all([0, 1].map((model) => words(randomKey(0, "w", model), COUNT, 0, threshold)));
    const both = a!.reduce((sum, draw, i) => sum + draw * b![i]!, 0) / COUNT;
    expect(Math.abs(both - p * p)).toBeLessThan(5 * Math.sqrt((p * p * (1 - p * p)) / COUNT));
  });
});
