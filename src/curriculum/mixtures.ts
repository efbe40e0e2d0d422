/**
 * Sets of parts of a corpus to train on, and how well one score of them foretells another. A mixture is the positions
 * of its parts, ascending.
 */
import { Random } from "../data/random.ts";

export type Mixture = readonly number[];

/** All mixtures of n parts but the empty one, 2^n - 1, those of fewer parts first. */
export function allMixtures(n: number): Mixture[] {
  const parts = Array.from({ length: n }, (_, i) => i);
  const all = Array.from({ length: 2 ** n - 1 }, (_, bits) => parts.filter((i) => ((bits + 1) >> i) & 1));
  return all.sort((a, b) => a.length - b.length || compare(a, b));
}

/** The order of two mixtures of as many parts. */
function compare(a: Mixture, b: Mixture): number {
  const at = a.findIndex((part, i) => part !== b[i]);
  return at < 0 ? 0 : a[at]! - b[at]!;
}

/**
 * Greedy forward selection: the best part alone, then always the part that makes the score least, to all n.
 * n (n + 1) / 2 scores, lower is better; every mixture that was looked at is given, in that order.
 */
export async function greedyMixtures(
  n: number,
  score: (mixture: Mixture) => Promise<number>,
): Promise<{ mixture: Mixture; score: number }[]> {
  const seen: { mixture: Mixture; score: number }[] = [];
  let chosen: Mixture = [];
  while (chosen.length < n) {
    const round: { mixture: Mixture; score: number }[] = [];
    for (let part = 0; part < n; part++) {
      if (chosen.includes(part)) continue;
      const mixture = [...chosen, part].sort((a, b) => a - b);
      round.push({ mixture, score: await score(mixture) });
    }
    seen.push(...round);
    chosen = round.reduce((best, one) => (one.score < best.score ? one : best)).mixture;
  }
  return seen;
}

/** So many pairs of n parts, drawn by seed; all of them where there are no more. */
export function drawPairs(n: number, count: number, seed: number): Mixture[] {
  const pairs = allMixtures(n).filter(({ length }) => length === 2);
  const random = new Random(seed, "pairs of parts");
  for (let i = pairs.length - 1; i > 0; i--) {
    const j = random.below(i + 1);
    [pairs[i], pairs[j]] = [pairs[j]!, pairs[i]!];
  }
  return pairs.slice(0, count).sort(compare);
}

/** Ranks from 0; equal values share the mean of theirs. */
export function ranksOf(values: readonly number[]): number[] {
  return values.map((value) => {
    const less = values.filter((other) => other < value).length;
    const same = values.filter((other) => other === value).length;
    return less + (same - 1) / 2;
  });
}

/** Pearson's correlation of two lists of one length; NaN where either does not vary. */
export function pearson(a: readonly number[], b: readonly number[]): number {
  const mean = (list: readonly number[]) => list.reduce((sum, x) => sum + x, 0) / list.length;
  const [p, q] = [mean(a), mean(b)];
  const sum = (term: (i: number) => number) => a.reduce((all, _, i) => all + term(i), 0);
  const together = sum((i) => (a[i]! - p) * (b[i]! - q));
  return together / Math.sqrt(sum((i) => (a[i]! - p) ** 2) * sum((i) => (b[i]! - q) ** 2));
}

/** Spearman's rank correlation. */
export const spearman = (a: readonly number[], b: readonly number[]): number => pearson(ranksOf(a), ranksOf(b));
