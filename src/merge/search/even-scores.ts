/** Scores as models of them take them. */

/** Scores lower than so many times the distance from the median to the best are raised to it. */
const FAR = 5;

/**
 * The scale on which these scores have mean 0 and variance 1; failed and far too low ones count as low, no more, so
 * that one broken merge does not hide the differences of the rest. Everything is 0 where all scores are equal.
 */
export function scaleOf(scores: readonly number[]): (score: number) => number {
  const finite = scores.filter(Number.isFinite).sort((a, b) => a - b);
  const [best = 0, median = 0] = [finite.at(-1), finite[Math.floor(finite.length / 2)]];
  const least = finite[0] ?? 0;
  const floor = best > median ? Math.max(least, median - FAR * (best - median)) : least;
  const raise = (score: number) => Math.max(Number.isFinite(score) ? score : floor, floor);
  const raised = scores.map(raise);
  const mean = raised.reduce((a, b) => a + b, 0) / raised.length;
  const std = Math.sqrt(raised.reduce((sum, y) => sum + (y - mean) ** 2, 0) / raised.length);
  return (score) => (std > 0 ? (raise(score) - mean) / std : 0);
}

/** Scores on their scale. */
export const evened = (scores: readonly number[]): number[] => scores.map(scaleOf(scores));
