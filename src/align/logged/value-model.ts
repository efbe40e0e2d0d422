/** What each action would have brought in each logged context, as a linear model of the context says, cross-fitted. */
import { foldsOf } from "./folds.ts";
import { inner, ridge } from "./ridge.ts";
import type { LoggedRow } from "./rows.ts";

export interface ValueModelOptions {
  readonly actions: number;
  readonly folds: number;
  /** Penalty of the squares of the weights. */
  readonly penalty: number;
  readonly seed: number;
}

const withOne = (x: Float32Array): Float64Array => Float64Array.of(1, ...x);

/**
 * (rows, actions): expected rewards. Each action has a ridge regression of its own, fitted on the rows of the other
 * folds in which it was taken; the mean reward of those folds where it never was.
 */
export function expectedRewards(rows: readonly LoggedRow[], options: ValueModelOptions): Float64Array[] {
  const { actions, folds, penalty, seed } = options;
  const fold = foldsOf(rows.length, folds, seed);
  const found: Float64Array[] = rows.map(() => new Float64Array(actions));
  for (let own = 0; own < Math.min(folds, rows.length); own++) {
    const others = rows.filter((_, i) => folds === 1 || fold[i] !== own);
    const mean = others.reduce((sum, { reward }) => sum + reward, 0) / Math.max(1, others.length);
    for (let action = 0; action < actions; action++) {
      const taken = others.filter((row) => row.action === action);
      const weights =
        taken.length > 0
          ? ridge(
              taken.map(({ x }) => withOne(x)),
              taken.map(({ reward }) => reward),
              penalty,
            )
          : undefined;
      for (const [i, { x }] of rows.entries())
        if (fold[i] === own) found[i]![action] = weights ? inner(weights, withOne(x)) : mean;
    }
  }
  return found;
}
