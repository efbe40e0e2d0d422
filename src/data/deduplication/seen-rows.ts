/** Rows that were seen, as their words and signs tell them apart. */
import { gramsOf, tokensOf } from "../decontamination/overlap.ts";
import { hashOf } from "../random.ts";
import { MinHash, SeenSignatures } from "./minhash.ts";

export interface Likeness {
  /** Exact: the same words and signs. Near: as alike as asked for. */
  readonly by: "exact" | "near";
  /** The row that was seen before. */
  readonly of: string;
  /** The Jaccard index of n-grams: 1 of exact ones, estimated of near ones. */
  readonly index: number;
}

export interface SeenOptions {
  readonly by: "exact" | "near";
  readonly similarity: number;
  readonly ngram: number;
  readonly permutations: number;
  readonly seed: number;
}

/** 128 bits of a text, as a short key. */
const keyOf = (text: string): string => String.fromCharCode(...words16(hashOf(text, 1n)), ...words16(hashOf(text, 2n)));

const words16 = (hash: bigint): number[] => [0n, 16n, 32n, 48n].map((at) => Number((hash >> at) & 0xffffn));

export class SeenRows {
  readonly #options: SeenOptions;
  readonly #exact = new Map<string, string>();
  readonly #hash: MinHash;
  readonly #near: SeenSignatures;
  /** Where the rows are that have signatures. */
  readonly #places: string[] = [];

  constructor(options: SeenOptions) {
    this.#options = options;
    this.#hash = new MinHash(options.permutations, options.seed);
    this.#near = new SeenSignatures(options.similarity, options.permutations);
  }

  /** The seen row that a row repeats; a row that repeats none is remembered, and nothing comes back. */
  meet(text: string, place: string): Likeness | undefined {
    const tokens = tokensOf(text);
    const key = keyOf(tokens.join(" "));
    const same = this.#exact.get(key);
    if (same !== undefined) return { by: "exact", of: same, index: 1 };
    if (this.#options.by === "near") {
      const grams = gramsOf(tokens, this.#options.ngram);
      const signature = this.#hash.signature([...grams].map((gram) => Number(hashOf(gram) & 0xffffffffn)));
      const nearest = this.#near.nearest(signature);
      if (nearest) return { by: "near", of: this.#places[nearest.seen]!, index: nearest.index };
      this.#near.add(signature);
      this.#places.push(place);
    }
    this.#exact.set(key, place);
    return undefined;
  }
}
