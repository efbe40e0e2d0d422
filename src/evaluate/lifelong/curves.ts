/** What is read off a curve of performance over experiences. */

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

/** Means over a window about each value, cut where the curve ends; `share` of the length is the window's width. */
export function smoothed(values: readonly number[], share: number): number[] {
  const half = Math.floor((values.length * share) / 2);
  return values.map((_, i) => mean(values.slice(Math.max(0, i - half), i + half + 1)));
}

/** Mean of the last part of a block: `share` of its experiences, at least one. */
export const terminal = (values: readonly number[], share: number): number =>
  mean(values.slice(-Math.max(1, Math.round(values.length * share))));

/** The highest value of a smoothed curve, and the number of experiences that it took. */
export function saturation(values: readonly number[], share: number): { value: number; experiences: number } {
  const curve = smoothed(values, share);
  const value = Math.max(...curve);
  return { value, experiences: curve.indexOf(value) + 1 };
}

/** The number of experiences after which a smoothed curve is back at a level; undefined if it never is. */
export function recovery(values: readonly number[], level: number, share: number): number | undefined {
  const at = smoothed(values, share).findIndex((value) => value >= level);
  return at < 0 ? undefined : at + 1;
}

/**
 * The median of the slopes between any two values, which stand at 0, 1, ...; undefined for fewer than two. Theil 1950,
 * Sen 1968, https://doi.org/10.1080/01621459.1968.10480934
 */
export function theilSen(values: readonly number[]): number | undefined {
  const slopes = values.flatMap((a, i) => values.slice(i + 1).map((b, k) => (b - a) / (k + 1))).sort((a, b) => a - b);
  if (slopes.length === 0) return undefined;
  const middle = slopes.length / 2;
  return (slopes[Math.ceil(middle) - 1]! + slopes[Math.floor(middle)]!) / 2;
}
