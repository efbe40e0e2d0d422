/**
 * What BPE makes on its way to a token: a token is made of its characters by the same merges in every text, since
 * merges within it never depend on what stands around it. So these tokens and merges are all that it needs.
 */
import { halvesOf, type MergePair } from "./tokenizer-json.ts";

export class MergePaths {
  readonly #ranks = new Map<string, number>();
  readonly #suffix: string;

  /** `suffix`: what stands behind the last character of a word, or "". */
  constructor(merges: readonly MergePair[], suffix = "") {
    this.#suffix = suffix;
    for (const [rank, merge] of merges.entries()) {
      const key = halvesOf(merge).join("\0");
      if (!this.#ranks.has(key)) this.#ranks.set(key, rank);
    }
  }

  /** Every text that stands for itself at some time while the characters of a token are merged, the characters too. */
  formed(token: string): Set<string> {
    const parts = this.#characters(token);
    const seen = new Set(parts);
    for (;;) {
      let [best, at] = [Number.POSITIVE_INFINITY, -1];
      for (let i = 0; i + 1 < parts.length; i++) {
        const rank = this.#ranks.get(`${parts[i]}\0${parts[i + 1]}`);
        if (rank !== undefined && rank < best) [best, at] = [rank, i];
      }
      if (at < 0) return seen;
      parts.splice(at, 2, parts[at]! + parts[at + 1]!);
      seen.add(parts[at]!);
    }
  }

  #characters(token: string): string[] {
    const suffix = this.#suffix;
    if (suffix === "" || !token.endsWith(suffix) || token === suffix) return [...token];
    const characters = [...token.slice(0, -suffix.length)];
    const last = characters.pop() ?? "";
    return [...characters, last + suffix];
  }
}
