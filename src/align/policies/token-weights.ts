/** What every token of an answer weighs in the loss of an update, as --aggregate says. */
import type { SharedValues } from "./contract.ts";

/** One answer in an update. */
export interface CountedRow {
  /** Tokens that count; 0 of an answer that does not. */
  readonly counted: number;
  /** Whether it only fills up its batch: it is no answer of the rollout's. */
  readonly isFiller?: boolean;
}

/**
 * The weight of each token of every row, by micro-batch. An answer that was masked still is one of the answers; a
 * filler is not.
 */
export function tokenWeights(
  aggregate: SharedValues["aggregate"],
  micro: readonly (readonly CountedRow[])[],
  longest: number,
): number[][] {
  const tokensOf = (rows: readonly CountedRow[]) =>
    Math.max(
      1,
      rows.reduce((sum, { counted }) => sum + counted, 0),
    );
  const all = micro.flat();
  const answers = Math.max(1, all.filter(({ isFiller }) => !isFiller).length);
  const total = tokensOf(all);
  return micro.map((rows) => {
    const own = tokensOf(rows);
    const of = {
      "seq-mean": (counted: number) => 1 / (answers * Math.max(1, counted)),
      "token-mean": () => 1 / (micro.length * own),
      "seq-sum-norm": () => 1 / (answers * longest),
      "global-token": () => 1 / total,
      "seq-sum": () => 1 / answers,
    }[aggregate];
    return rows.map(({ counted }) => of(counted));
  });
}
