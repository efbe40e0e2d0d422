/**
 * Which texts have the words of a query, by BM25: rare words count more, and repeated ones less and less. Robertson and
 * Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009, https://doi.org/10.1561/1500000019
 *
 *   score(d) = sum over words w of the query of idf_w f (k1 + 1) / (f + k1 (1 - b + b |d| / mean |d|))
 *   idf_w    = log(1 + (N - n_w + 1/2) / (n_w + 1/2)), n_w the texts that have w, f how often d has it
 */

const [K1, B] = [1.5, 0.75];

/** Words in lower case. */
const wordsOf = (text: string): string[] => text.toLowerCase().match(/[\p{L}\p{M}\p{N}]+/gu) ?? [];

/** An index of texts. Memory: a number for every distinct word of every text. */
export class Bm25 {
  readonly #counts: readonly ReadonlyMap<string, number>[];
  readonly #lengths: readonly number[];
  readonly #mean: number;
  readonly #holders = new Map<string, number[]>();

  constructor(texts: readonly string[]) {
    const words = texts.map(wordsOf);
    this.#lengths = words.map(({ length }) => length);
    this.#mean = Math.max(1e-12, this.#lengths.reduce((a, b) => a + b, 0) / Math.max(1, texts.length));
    this.#counts = words.map((list, i) => {
      const counts = new Map<string, number>();
      for (const word of list) counts.set(word, (counts.get(word) ?? 0) + 1);
      for (const word of counts.keys()) {
        const holders = this.#holders.get(word);
        if (holders) holders.push(i);
        else this.#holders.set(word, [i]);
      }
      return counts;
    });
  }

  /** The scores of the texts that have a word of the query, by place. */
  scores(query: string): Map<number, number> {
    const found = new Map<number, number>();
    const n = this.#counts.length;
    for (const word of new Set(wordsOf(query))) {
      const holders = this.#holders.get(word) ?? [];
      const idf = Math.log(1 + (n - holders.length + 0.5) / (holders.length + 0.5));
      for (const i of holders) {
        const f = this.#counts[i]!.get(word)!;
        const long = K1 * (1 - B + (B * this.#lengths[i]!) / this.#mean);
        found.set(i, (found.get(i) ?? 0) + (idf * f * (K1 + 1)) / (f + long));
      }
    }
    return found;
  }

  /** Places of the `count` best texts, the best first; of equals the earlier one. Texts without a word are left out. */
  best(query: string, count: number): number[] {
    const scored = [...this.scores(query)].toSorted(([i, a], [j, b]) => b - a || i - j);
    return scored.slice(0, count).map(([i]) => i);
  }
}
