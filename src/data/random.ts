/**
 * Random numbers for procedural data: streams selected by a text, the same on every machine, and permutations that are
 * computed one element at a time.
 *
 * The generator is xoshiro128**, its state from xxHash64.
 */
import { xoshiro } from "../xoshiro.ts";
import { ln } from "./portable.ts";

/** 64 bits of a text. */
export const hashOf = (text: string, seed = 0n): bigint => Bun.hash.xxHash64(text, seed);

export class Random {
  /** 32 random bits. */
  readonly word: () => number;
  readonly #words: Uint32Array;

  /** The stream that these parts select; `new Random(seed, "lego", split, index)`. */
  constructor(...key: readonly (string | number)[]) {
    const text = key.join("\0");
    const [low, high] = [hashOf(text, 1n), hashOf(text, 2n)];
    this.#words = Uint32Array.of(
      Number(low & 0xffffffffn),
      Number(low >> 32n),
      Number(high & 0xffffffffn),
      Number(high >> 32n) | 1, // the one state that must not occur is all zero
    );
    this.word = xoshiro(this.#words);
  }

  /** Where the stream stands, four words; one that is set to them goes on from there. */
  get place(): readonly number[] {
    return [...this.#words];
  }

  set place(words: readonly number[]) {
    this.#words.set(words);
  }

  /** A whole number in [0, n), all equally likely; 1 <= n <= 2^32. */
  below(n: number): number {
    const limit = 2 ** 32 - (2 ** 32 % n); // words from here on would favour small results
    let word = this.word();
    while (word >= limit) word = this.word();
    return word % n;
  }

  /** A number in [0, 1), 53 random bits. */
  uniform(): number {
    return ((this.word() >>> 5) * 2 ** 26 + (this.word() >>> 6)) / 2 ** 53;
  }

  /** A standard normal value (Marsaglia's polar method, without the second value). */
  normal(): number {
    for (;;) {
      const u = 2 * this.uniform() - 1;
      const v = 2 * this.uniform() - 1;
      const s = u * u + v * v;
      if (s > 0 && s < 1) return u * Math.sqrt((-2 * ln(s)) / s);
    }
  }

  /** The logarithm of a gamma variate (Marsaglia and Tsang 2000), which does not underflow for small shapes. */
  logGamma(shape: number): number {
    if (shape < 1) return this.logGamma(shape + 1) + ln(1 - this.uniform()) / shape;
    const d = shape - 1 / 3;
    const c = 1 / Math.sqrt(9 * d);
    for (;;) {
      const x = this.normal();
      const root = 1 + c * x;
      const v = root * root * root;
      if (v > 0 && ln(1 - this.uniform()) < 0.5 * x * x + d - d * v + d * ln(v)) return ln(d * v);
    }
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!;
  }

  /** The items in random order. */
  shuffled<T>(items: readonly T[]): T[] {
    const result = [...items];
    for (let i = result.length - 1; i > 0; i--) {
      const j = this.below(i + 1);
      [result[i], result[j]] = [result[j]!, result[i]!];
    }
    return result;
  }

  /** An index with probability in proportion to its weight. */
  weighted(weights: readonly number[]): number {
    let left = this.uniform() * weights.reduce((sum, weight) => sum + weight, 0);
    let last = 0;
    for (let i = 0; i < weights.length; i++) {
      if (weights[i]! <= 0) continue;
      last = i;
      left -= weights[i]!;
      if (left < 0) return i;
    }
    return last; // rounding
  }
}

const mixed = (word: number, key: number): number => {
  let h = Math.imul(word ^ key, 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
};

/**
 * A random permutation of 0..n-1 as a function of the index, in O(1) memory; n <= 2^50. A Feistel network over the next
 * even number of bits, walked along its cycle until it is back inside.
 */
export function permutation(n: number, ...key: readonly (string | number)[]): (index: number) => number {
  let half = 1; // bits of each half
  while (4 ** half < n) half++;
  const base = 2 ** half;
  const random = new Random("permutation", ...key);
  const keys = Array.from({ length: 8 }, () => random.word());
  return (index) => {
    if (!(index >= 0 && index < n)) throw new RangeError(`index ${index} is outside 0..${n - 1}`);
    let value = index;
    do {
      let left = Math.floor(value / base);
      let right = value % base;
      for (const round of keys) [left, right] = [right, (left ^ mixed(right, round)) & (base - 1)];
      value = left * base + right;
    } while (value >= n);
    return value;
  };
}

/** The label of row `index` when every run of `classes` rows holds each class once, in random order. */
export function balancedLabel(classes: number, index: number, ...key: readonly (string | number)[]): number {
  const block = Math.floor(index / classes);
  return new Random("labels", ...key, block).shuffled(Array.from({ length: classes }, (_, c) => c))[index % classes]!;
}
