/**
 * How much of test texts a training text holds, by n-grams of words and signs.
 *
 * A test text is matched by a training text when more than a share of its tokens stand in n-grams that the two share;
 * several training texts do not add up. A test text of fewer than n tokens is one n-gram by itself. Lambert et al. 2024
 * (Tulu 3), https://arxiv.org/abs/2411.15124
 */

/** Words and single signs, without regard to case and to forms of the same letter. */
export const tokensOf = (text: string): string[] =>
  text
    .normalize("NFKC")
    .toLowerCase()
    .match(/[\p{L}\p{N}]+|[^\s\p{L}\p{N}]/gu) ?? [];

const gram = (tokens: readonly string[], at: number, n: number): string => tokens.slice(at, at + n).join(" ");

/** The different n-grams of tokens; fewer than n tokens are one by themselves. */
export function gramsOf(tokens: readonly string[], n: number): Set<string> {
  const own = Math.min(n, tokens.length);
  const grams = new Set<string>();
  if (own > 0) for (let at = 0; at + own <= tokens.length; at++) grams.add(gram(tokens, at, own));
  return grams;
}

/** An n-gram of a test text. */
interface Spot {
  readonly text: number;
  /** Its first token. */
  readonly at: number;
}

export interface Match {
  /** Which of the test texts. */
  readonly text: number;
  /** The share of its tokens that stand in shared n-grams. */
  readonly covered: number;
}

export class Overlap {
  /** Tokens of each test text. */
  readonly #lengths: readonly number[];
  /** Where each n-gram is, by its length. */
  readonly #spots = new Map<number, Map<string, Spot[]>>();
  readonly #share: number;

  /** `share`: a text is matched above it. */
  constructor(texts: readonly string[], { n, share }: { readonly n: number; readonly share: number }) {
    this.#share = share;
    this.#lengths = texts.map((content, text) => {
      const tokens = tokensOf(content);
      const own = Math.min(n, tokens.length);
      if (own === 0) return 0;
      const spots = this.#spots.get(own) ?? new Map<string, Spot[]>();
      this.#spots.set(own, spots);
      for (let at = 0; at + own <= tokens.length; at++) {
        const key = gram(tokens, at, own);
        const found = spots.get(key);
        if (found) found.push({ text, at });
        else spots.set(key, [{ text, at }]);
      }
      return tokens.length;
    });
  }

  /** The test texts that a training text matches. */
  matches(content: string): Match[] {
    const tokens = tokensOf(content);
    const covered = new Map<number, Set<number>>();
    for (const [n, spots] of this.#spots) {
      if (tokens.length < n) continue;
      for (const key of gramsOf(tokens, n))
        for (const { text, at } of spots.get(key) ?? []) {
          const places = covered.get(text) ?? new Set<number>();
          covered.set(text, places);
          for (let i = 0; i < n; i++) places.add(at + i);
        }
    }
    return [...covered]
      .map(([text, places]) => ({ text, covered: places.size / this.#lengths[text]! }))
      .filter((match) => match.covered > this.#share);
  }
}
