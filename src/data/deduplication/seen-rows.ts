/** Rows that were seen, as their words and signs tell them apart. */
import { gramsOf, tokensOf } from "../decontamination/overlap.ts";
import { hashOf } from "../random.ts";
import { KeyTable } from "./key-table.ts";
import { type EntryBits, MinHash, SeenSignatures } from "./minhash.ts";
import { RowPlaces } from "./row-places.ts";

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
  readonly signature_bits: `${EntryBits}`;
  readonly seed: number;
}

const bitsOf = ({ signature_bits: bits }: SeenOptions): EntryBits => (bits === "8" ? 8 : bits === "16" ? 16 : 32);

/** Words of 32 bits of a text's hash. */
const WORDS = 4;

function wordsOf(text: string): Uint32Array {
  const words = new Uint32Array(WORDS);
  for (const [i, hash] of [hashOf(text, 1n), hashOf(text, 2n)].entries())
    words.set([Number(hash & 0xffffffffn), Number((hash >> 32n) & 0xffffffffn)], 2 * i);
  return words;
}

/** Texts that were seen, by 128 bits of each, in some 30 bytes a text. */
class SeenTexts {
  readonly #table = new KeyTable();
  #words = new Uint32Array(1024 * WORDS);
  #count = 0;

  /** The number under which a text was seen. */
  find(words: Uint32Array): number | undefined {
    let found: number | undefined;
    this.#table.find(words[0]!, (at) => {
      if (words.every((word, i) => word === this.#words[at * WORDS + i])) found = at;
    });
    return found;
  }

  /** Remembers a text under the next number, from 0. */
  add(words: Uint32Array): void {
    const at = this.#count++;
    if (this.#count * WORDS > this.#words.length) {
      const more = new Uint32Array(WORDS * Math.ceil(1.5 * this.#count));
      more.set(this.#words);
      this.#words = more;
    }
    this.#words.set(words, at * WORDS);
    this.#table.add(words[0]!, at);
  }
}

export class SeenRows {
  readonly #options: SeenOptions;
  readonly #exact = new SeenTexts();
  readonly #hash: MinHash;
  readonly #near: SeenSignatures;
  /** Where the rows are that were remembered. */
  readonly #places = new RowPlaces();

  constructor(options: SeenOptions) {
    this.#options = options;
    this.#hash = new MinHash(options.permutations, options.seed);
    this.#near = new SeenSignatures(options.similarity, options.permutations, bitsOf(options));
  }

  /** The seen row that a row repeats; a row that repeats none is remembered, and nothing comes back. */
  meet(text: string, place: string): Likeness | undefined {
    const tokens = tokensOf(text);
    const words = wordsOf(tokens.join(" "));
    const same = this.#exact.find(words);
    if (same !== undefined) return { by: "exact", of: this.#places.at(same), index: 1 };
    if (this.#options.by === "near") {
      const grams = gramsOf(tokens, this.#options.ngram);
      const signature = this.#hash.signature([...grams].map((gram) => Number(hashOf(gram) & 0xffffffffn)));
      const nearest = this.#near.nearest(signature);
      if (nearest) return { by: "near", of: this.#places.at(nearest.seen), index: nearest.index };
      this.#near.add(signature);
    }
    this.#exact.add(words);
    this.#places.add(place);
    return undefined;
  }
}
