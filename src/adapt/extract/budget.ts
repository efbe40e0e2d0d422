/** Ranks under a budget of bytes, over all weights together. */

/** A weight's directions: their singular values, falling, and what one takes in the file. */
export interface Ranked {
  readonly s: ArrayLike<number>;
  readonly bytes: number;
}

/**
 * Spends `budget` bytes on directions by the squares that each holds per byte. A direction that no longer fits is
 * passed over with those behind it, for others that do. Gives the rank of each weight.
 *
 * Singular values fall, so that taking the best direction next is the best for every amount that is spent whole.
 */
export function ranksWithin(weights: readonly Ranked[], budget: number): number[] {
  const ranks = weights.map(() => 0);
  const directions = weights.flatMap(({ s, bytes }, weight) =>
    Array.from(s, (value, k) => ({ weight, k, worth: value ** 2 / bytes })),
  );
  directions.sort((a, b) => b.worth - a.worth || a.weight - b.weight || a.k - b.k);
  let left = budget;
  for (const { weight, k } of directions) {
    const { bytes } = weights[weight]!;
    if (ranks[weight] !== k || bytes > left) continue;
    ranks[weight] = k + 1;
    left -= bytes;
  }
  return ranks;
}
