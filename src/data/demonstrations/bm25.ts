/**
 * Which texts of a bank share rare words with a query: BM25. Robertson and Zaragoza 2009,
 * https://doi.org/10.1561/1500000019
 *
 *   sum over words w of the query  idf(w) f (k1 + 1) / (f + k1 (1 - b + b length / mean length))
 *   idf(w) = ln(1 + (N - n + 1/2) / (n + 1/2)),  f how often w stands in the text, n texts of N hold it
 */
import { tokensOf } from "../decontamination/overlap.ts";

const K1 = 1.2;
const B = 0.75;

export class Bm25 {
  /** Texts with each word, and how often it stands there. */
  readonly #holders = new Map<string, { readonly text: number; count: number }[]>();
  readonly #lengths: readonly number[];
  readonly #mean: number;

  constructor(texts: readonly string[]) {
    const words = texts.map(tokensOf);
    for (const [text, list] of words.entries())
      for (const word of list) {
        const holders = this.#holders.get(word) ?? [];
        const last = holders.at(-1);
        if (last?.text === text) last.count++;
        else holders.push({ text, count: 1 });
        this.#holders.set(word, holders);
      }
    this.#lengths = words.map(({ length }) => length);
    this.#mean = this.#lengths.reduce((sum, length) => sum + length, 0) / Math.max(1, texts.length) || 1;
  }

  /** Texts that share a word with the query, with their scores: the highest first, the earlier of equal ones. */
  ranked(query: string): { readonly text: number; readonly score: number }[] {
    const scores = new Map<number, number>();
    const total = this.#lengths.length;
    for (const word of new Set(tokensOf(query))) {
      const holders = this.#holders.get(word) ?? [];
      const idf = Math.log(1 + (total - holders.length + 0.5) / (holders.length + 0.5));
      for (const { text, count } of holders) {
        const length = K1 * (1 - B + (B * this.#lengths[text]!) / this.#mean);
        scores.set(text, (scores.get(text) ?? 0) + (idf * count * (K1 + 1)) / (count + length));
      }
    }
    return [...scores].map(([text, score]) => ({ text, score })).sort((a, b) => b.score - a.score || a.text - b.text);
  }
}
