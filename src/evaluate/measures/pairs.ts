/** Means over the pairs of scored rows. */
import type { ScoredPair, ScoredRow } from "../../run/scoring/scored-row.ts";

/** The pairs of rows. */
export const pairsIn = (rows: readonly ScoredRow[]): ScoredPair[] => rows.flatMap(({ pair }) => pair ?? []);

/** Mean of a number of every pair; NaN where there is none. */
export function meanOfPairs(rows: readonly ScoredRow[], value: (pair: ScoredPair) => number): number {
  const pairs = pairsIn(rows);
  return pairs.reduce((sum, pair) => sum + value(pair), 0) / pairs.length;
}
