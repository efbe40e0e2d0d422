/** Scores as models of them take them. */

/** Scores lower than so many times the distance from the median to the best are raised to it. */
const FAR = 5;

/**
 * Scores of mean 0 and variance 1; failed and far too low ones count as low, no more, so that one broken merge does not
 * hide the differences of the rest.
 */
export function evened(scores: readonly number[]): number[] {
  const finite = scores.filter(Number.isFinite).sort((a, b) => a - b);
  const [best = 0, median = 0] = [finite.at(-1), finite[Math.floor(finite.length / 2)]];
  const least = finite[0] ?? 0;
  const floor = best > median ? Math.max(least, median - FAR * (best - median)) : least;
  const raised = scores.map((score) => Math.max(Number.isFinite(score) ? score : floor, floor));
  const mean = raised.reduce((a, b) => a + b, 0) / raised.length;
  const std = Math.sqrt(raised.reduce((sum, y) => sum + (y - mean) ** 2, 0) / raised.length);
  return raised.map((y) => (std > 0 ? (y - mean) / std : 0));
}
