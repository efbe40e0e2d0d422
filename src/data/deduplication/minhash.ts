/**
 * MinHash signatures of sets, and the bands in which alike sets meet. Broder 1997,
 * https://doi.org/10.1109/SEQUEN.1997.666900; Indyk, Motwani 1998, https://doi.org/10.1145/276698.276876.
 *
 * Under a random order of all n-grams, two sets have the same first member with probability J, their Jaccard index. A
 * signature has the least hash under each of P hash functions; the share of equal entries estimates J with variance
 * J (1 - J) / P. Cut into b bands of r entries, two signatures share a band with probability 1 - (1 - J^r)^b.
 */
import { Random } from "../random.ts";

/** How many bands of how many entries each. */
export interface Bands {
  readonly count: number;
  readonly rows: number;
}

/** The chance that two sets of this Jaccard index share a band. */
export const meetingChance = (index: number, { count, rows }: Bands): number => 1 - (1 - index ** rows) ** count;

/** Steps of the integrals over the index. */
const STEPS = 200;

/**
 * The bands that err least where sets of at least this index should meet and others should not: the sum of the areas of
 * chance missed above the index and of chance given below it is least. b r is at most the permutations.
 */
export function bandsFor(similarity: number, permutations: number): Bands {
  let best: { bands: Bands; error: number } | undefined;
  for (let rows = 1; rows <= permutations; rows++) {
    // Fewer bands of a width only miss more, and more of them only meet falsely more: all are tried.
    for (let count = 1; count * rows <= permutations; count++) {
      const bands = { count, rows };
      let error = 0;
      for (let i = 0; i < STEPS; i++) {
        const index = (i + 0.5) / STEPS;
        const chance = meetingChance(index, bands);
        error += (index < similarity ? chance : 1 - chance) / STEPS;
      }
      if (best === undefined || error < best.error) best = { bands, error };
    }
  }
  return best!.bands;
}

/** A bijection of 32-bit numbers that spreads them (the finalizer of MurmurHash3). */
function mixed(x: number): number {
  let h = x ^ (x >>> 16);
  h = Math.imul(h, 0x85ebca6b);
  h ^= h >>> 13;
  h = Math.imul(h, 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** Hash functions, drawn from a seed. */
export class MinHash {
  readonly #keys: Uint32Array;

  constructor(permutations: number, seed: number) {
    const random = new Random(seed, "minhash");
    this.#keys = Uint32Array.from({ length: permutations }, () => random.word());
  }

  /** The signature of a set, whose members are hashes of 32 bits: the least of each function. */
  signature(members: Iterable<number>): Uint32Array {
    const least = new Uint32Array(this.#keys.length).fill(0xffffffff);
    for (const member of members) {
      for (let i = 0; i < least.length; i++) {
        const hash = mixed(member ^ this.#keys[i]!);
        if (hash < least[i]!) least[i] = hash;
      }
    }
    return least;
  }
}

/** The share of entries in which two signatures are alike. */
export function estimated(a: Uint32Array, b: Uint32Array): number {
  let same = 0;
  for (let i = 0; i < a.length; i++) if (a[i] === b[i]) same++;
  return same / a.length;
}

/** Signatures that lie one after the other. */
const CHUNK = 1024;

/** Signatures that were seen, found by the bands that they share. Memory: 4 bytes a permutation, some 180 a band. */
export class SeenSignatures {
  readonly #bands: Bands;
  readonly #similarity: number;
  readonly #permutations: number;
  readonly #chunks: Uint32Array[] = [];
  #count = 0;
  /** By band: 53 bits of a hash of its entries to the signatures that have it. */
  readonly #buckets: Map<number, number | number[]>[];

  constructor(similarity: number, permutations: number) {
    this.#similarity = similarity;
    this.#permutations = permutations;
    this.#bands = bandsFor(similarity, permutations);
    this.#buckets = Array.from({ length: this.#bands.count }, () => new Map());
  }

  /** The seen signature that is most alike, and how alike, where one reaches the similarity. */
  nearest(signature: Uint32Array): { readonly seen: number; readonly index: number } | undefined {
    let best: { seen: number; index: number } | undefined;
    const looked = new Set<number>();
    for (const [band, bucket] of this.#buckets.entries()) {
      const found = bucket.get(this.#key(signature, band));
      if (found === undefined) continue;
      for (const seen of typeof found === "number" ? [found] : found) {
        if (looked.has(seen)) continue;
        looked.add(seen);
        const index = estimated(signature, this.#at(seen));
        if (index >= this.#similarity && (best === undefined || index > best.index)) best = { seen, index };
      }
    }
    return best;
  }

  /** Remembers a signature under the next number, from 0. */
  add(signature: Uint32Array): void {
    const at = this.#count++;
    if (at % CHUNK === 0) this.#chunks.push(new Uint32Array(CHUNK * this.#permutations));
    this.#at(at).set(signature);
    for (const [band, bucket] of this.#buckets.entries()) {
      const key = this.#key(signature, band);
      const found = bucket.get(key);
      if (found === undefined) bucket.set(key, at);
      else if (typeof found === "number") bucket.set(key, [found, at]);
      else found.push(at);
    }
  }

  #at(seen: number): Uint32Array {
    const from = (seen % CHUNK) * this.#permutations;
    return this.#chunks[Math.floor(seen / CHUNK)]!.subarray(from, from + this.#permutations);
  }

  #key(signature: Uint32Array, band: number): number {
    const { rows } = this.#bands;
    return Number(BigInt.asUintN(53, Bun.hash.xxHash64(signature.subarray(band * rows, (band + 1) * rows))));
  }
}
