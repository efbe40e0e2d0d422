/**
 * How alike two sets of texts are: the mean cosine of their TF-IDF vectors, over all pairs.
 *
 *   tf-idf of a word in a text = count (ln((1 + n) / (1 + texts with it)) + 1), over the n texts of both sets
 *
 * Words are runs of two or more letters, digits and underscores, in lower case, as scikit-learn's TfidfVectorizer has
 * them.
 */

/** The words of a text. */
export const wordsOf = (text: string): string[] => text.toLowerCase().match(/[\p{L}\p{N}_]{2,}/gu) ?? [];

/** Vectors of length 1, as weights by word; of a text without words empty. */
function vectorsOf(texts: readonly string[]): Map<string, number>[] {
  const counts = texts.map((text) => {
    const own = new Map<string, number>();
    for (const word of wordsOf(text)) own.set(word, (own.get(word) ?? 0) + 1);
    return own;
  });
  const among = new Map<string, number>();
  for (const own of counts) for (const word of own.keys()) among.set(word, (among.get(word) ?? 0) + 1);
  return counts.map((own) => {
    const weights = [...own].map(([word, count]) => {
      return [word, count * (Math.log((1 + texts.length) / (1 + among.get(word)!)) + 1)] as const;
    });
    const length = Math.hypot(...weights.map(([, weight]) => weight));
    return new Map(weights.map(([word, weight]) => [word, weight / length]));
  });
}

/** From 0, no word in common, to 1, all the same. Throws RangeError for an empty set. */
export function similarity(a: readonly string[], b: readonly string[]): number {
  if (a.length === 0 || b.length === 0) throw new RangeError("a set without texts is like nothing");
  const vectors = vectorsOf([...a, ...b]);
  const [left, right] = [vectors.slice(0, a.length), vectors.slice(a.length)];
  let sum = 0;
  for (const x of left) for (const y of right) for (const [word, weight] of x) sum += weight * (y.get(word) ?? 0);
  return sum / (left.length * right.length);
}
