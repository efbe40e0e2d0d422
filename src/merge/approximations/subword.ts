/**
 * The rows of the pieces that the model's own tokenizer cuts the text of a token into. A token without pieces gets
 * zeros, as in mergekit.
 *
 * mergekit's words: weighted-mean gives the last piece most weight in the embedding, whose last token speaks for the
 * whole, and the first in the head, which has to begin it; first-last takes that piece alone. mergekit has the two ways
 * of weighted_mean the wrong way round.
 */
import { approximation } from "../approximation.ts";
import { counted } from "../plan/notes.ts";

/** Weights of n pieces, in their order. */
export function pieceWeights(how: string, n: number, use: "embedding" | "head"): number[] {
  const places = Array.from({ length: n }, (_, i) => (use === "embedding" ? i + 1 : n - i));
  if (how === "mean") return places.map(() => 1 / n);
  if (how === "sum") return places.map(() => 1);
  if (how === "weighted_mean") return places.map((place) => place / ((n * (n + 1)) / 2));
  return places.map((place) => (place === n ? 1 : 0));
}

export const method = approximation({
  name: "subword",
  title: "Subword",
  about: "rows of the pieces into which the model's own tokenizer cuts the token",
  cite: "mergekit",
  options: {
    subword_method: {
      type: "'mean' | 'sum' | 'weighted_mean' | 'first_last'",
      default: "mean",
      short: "s",
      help: "how the pieces' rows become one",
    },
  },
  needs: ["pieces"],
  async rows({ wanted, pieces, use, warn }, { subword_method }) {
    const found = wanted.map((token) => pieces(token));
    const without = wanted.filter((_, place) => found[place]!.length === 0);
    if (without.length > 0) {
      const names = without.slice(0, 3).map(({ token }) => JSON.stringify(token));
      warn(
        `${counted(without.length, "token")} cannot be spelled by the model's tokenizer and get zeros: ${names.join(", ")}${without.length > 3 ? ", ..." : ""}`,
      );
    }
    return (place) => ({
      rows: found[place]!,
      weights: pieceWeights(subword_method, found[place]!.length, use),
    });
  },
});
