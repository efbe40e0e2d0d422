/** Means of numbers and of rows. */
import type { ScoredRow } from "../../run/scoring/scored-row.ts";

/** Arithmetic mean; NaN of no numbers. */
export const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

/** Harmonic mean: 0 where a value is 0, NaN where one is unknown. */
export const harmonicMean = (values: readonly number[]): number =>
  values.length / values.reduce((sum, value) => sum + 1 / value, 0);

/** Sum of `above` over rows divided by the sum of `below`; NaN where that is 0. */
export function ratio(
  rows: readonly ScoredRow[],
  above: (row: ScoredRow) => number,
  below: (row: ScoredRow) => number = () => 1,
): number {
  let [numerator, denominator] = [0, 0];
  for (const row of rows) {
    numerator += above(row);
    denominator += below(row);
  }
  return numerator / denominator;
}
