/** What regressors say of rows, beside what the rows say. */
import type { ScoredRow } from "../../run/scoring/scored-row.ts";

export interface NumberPair {
  readonly found: number;
  readonly wanted: number;
}

const pairsOf = ({ numbers }: ScoredRow): NumberPair[] =>
  numbers ? Array.from(numbers.found, (found, k) => ({ found, wanted: numbers.wanted[k]! })) : [];

/** Errors of all outputs of all rows that have numbers. */
export const errorsIn = (rows: readonly ScoredRow[]): number[] =>
  rows.flatMap((row) => pairsOf(row).map(({ found, wanted }) => found - wanted));

/** The pairs of every output. */
export function outputsOf(rows: readonly ScoredRow[]): NumberPair[][] {
  const outputs: NumberPair[][] = [];
  for (const row of rows) {
    for (const [k, pair] of pairsOf(row).entries()) {
      outputs[k] ??= [];
      outputs[k].push(pair);
    }
  }
  return outputs;
}
