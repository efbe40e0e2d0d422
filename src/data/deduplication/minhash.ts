/**
 * MinHash signatures of sets, and the bands in which alike sets meet. Broder 1997,
 * https://doi.org/10.1109/SEQUEN.1997.666900; Indyk, Motwani 1998, https://doi.org/10.1145/276698.276876.
 *
 * Under a random order of all n-grams, two sets have the same first member with probability J, their Jaccard index. A
 * signature has the least hash under each of P hash functions; the share of equal entries estimates J with variance
 * J (1 - J) / P. Cut into b bands of r entries, two signatures share a band with probability 1 - (1 - J^r)^b.
 */
import { Random } from "../random.ts";
import { KeyTable } from "./key-table.ts";

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

/** Bits that are kept of an entry. */
export type EntryBits = 8 | 16 | 32;

type Entries = Uint8Array | Uint16Array | Uint32Array;

const ARRAYS = { 8: Uint8Array, 16: Uint16Array, 32: Uint32Array } as const;

/** A signature of which so many bits of each entry are left. */
export const cutTo = (signature: Uint32Array, bits: EntryBits): Entries => new ARRAYS[bits](signature);

/**
 * What the share of equal entries says of the index, where `bits` of each are left: entries that differ are equal in
 * them with probability 2^-bits. Li, Koenig 2010 (b-bit minwise hashing), https://arxiv.org/abs/0910.3349
 */
export function estimated(a: Entries, b: Entries, bits: EntryBits = 32): number {
  let same = 0;
  for (let i = 0; i < a.length; i++) if (a[i] === b[i]) same++;
  const chance = 2 ** -bits;
  return Math.max(0, (same / a.length - chance) / (1 - chance));
}

/** Signatures that lie one after the other. */
const CHUNK = 1024;

/**
 * Signatures that were seen, found by the bands that they share. Memory: `bits` of each permutation, and 11 to 16 bytes
 * a band.
 */
export class SeenSignatures {
  readonly #bands: Bands;
  readonly #similarity: number;
  readonly #permutations: number;
  readonly #bits: EntryBits;
  readonly #chunks: Entries[] = [];
  #count = 0;
  /** By band: 32 bits of a hash of its entries to the signatures that have it. */
  readonly #tables: readonly KeyTable[];

  constructor(similarity: number, permutations: number, bits: EntryBits = 32) {
    this.#similarity = similarity;
    this.#permutations = permutations;
    this.#bits = bits;
    this.#bands = bandsFor(similarity, permutations);
    this.#tables = Array.from({ length: this.#bands.count }, () => new KeyTable());
  }

  /** Bytes that are held. */
  get bytes(): number {
    const tables = this.#tables.reduce((sum, { bytes }) => sum + bytes, 0);
    return this.#chunks.reduce((sum, { byteLength }) => sum + byteLength, tables);
  }

  /** The seen signature that is most alike, the earliest of such, and how alike, where one reaches the similarity. */
  nearest(signature: Uint32Array): { readonly seen: number; readonly index: number } | undefined {
    let best: { seen: number; index: number } | undefined;
    const own = cutTo(signature, this.#bits);
    const looked = new Set<number>();
    for (const [band, table] of this.#tables.entries())
      table.find(this.#key(signature, band), (seen) => {
        if (looked.has(seen)) return;
        looked.add(seen);
        const index = estimated(own, this.#at(seen), this.#bits);
        if (index < this.#similarity) return;
        const isBetter = best === undefined || index > best.index || (index === best.index && seen < best.seen);
        if (isBetter) best = { seen, index };
      });
    return best;
  }

  /** Remembers a signature under the next number, from 0. */
  add(signature: Uint32Array): void {
    const at = this.#count++;
    if (at % CHUNK === 0) this.#chunks.push(new ARRAYS[this.#bits](CHUNK * this.#permutations));
    this.#at(at).set(cutTo(signature, this.#bits));
    for (const [band, table] of this.#tables.entries()) table.add(this.#key(signature, band), at);
  }

  #at(seen: number): Entries {
    const from = (seen % CHUNK) * this.#permutations;
    return this.#chunks[Math.floor(seen / CHUNK)]!.subarray(from, from + this.#permutations);
  }

  /** Of whole entries: bands of few bits would meet by chance. */
  #key(signature: Uint32Array, band: number): number {
    const { rows } = this.#bands;
    return Number(BigInt.asUintN(32, Bun.hash.xxHash64(signature.subarray(band * rows, (band + 1) * rows))));
  }
}
