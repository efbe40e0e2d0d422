/**
 * Weights of tasks from what they do for each other and how hard they are. Dai et al. 2024 (VisATB),
 * https://arxiv.org/abs/2403.04343.
 *
 * Runs on small subsets of all tasks ("mini"), and for every i on all of task i with small subsets of the others
 * ("i+mini"); V_j is the score of task j, higher is better.
 *
 *   C_ij = (V_j(i+mini) - V_j(mini)) / (V_j(j+mini) - V_j(mini)),  D_i = 1 - V_i(mini) / V_i(i+mini)
 *   lambda = K (a_out softmax(mean_j C_ij / tau) + a_in softmax(-mean_j C_ji / tau) + a_D softmax(D / tau))
 */
import { UserError } from "../errors.ts";
import { softmax } from "../run/simplex.ts";

export interface TaskWeights {
  /** Sum to K. */
  readonly weights: number[];
  /** Row i: what task i does for task j; NaN in the columns of saturated tasks. */
  readonly contribution: number[][];
  /** D of every task. */
  readonly difficulty: number[];
  /** Tasks that their own data did not improve: nothing can be said relative to it. */
  readonly saturated: number[];
}

/** How the three parts of the weights are mixed. */
export interface TaskWeightOptions {
  /** Temperature of all three. */
  readonly tau?: number;
  /** a_out, a_in and a_D, which sum to 1. */
  readonly out?: number;
  readonly inward?: number;
  readonly difficulty?: number;
}

const meanKnown = (values: readonly number[]): number => {
  const all = values.filter(Number.isFinite);
  return all.length > 0 ? all.reduce((a, b) => a + b, 0) / all.length : 0;
};

/** `mini`[j] and `full`[i][j] are V_j(mini) and V_j(i+mini). Throws UserError when they do not fit together. */
export function taskWeights(
  mini: readonly number[],
  full: readonly (readonly number[])[],
  { tau = 0.5, out = 0.25, inward = 0.25, difficulty: hardness = 0.5 }: TaskWeightOptions = {},
): TaskWeights {
  const k = mini.length;
  if (full.length !== k || full.some((row) => row.length !== k)) {
    throw new UserError(
      `task weights need ${k} x ${k} scores`,
      "one run for every task, each with a score of every task",
    );
  }
  const parts = out + inward + hardness;
  if (Math.abs(parts - 1) > 1e-9) throw new UserError(`the parts of the task weights sum to ${parts}, expected 1`);
  const own = mini.map((score, j) => full[j]![j]! - score);
  const saturated = own.flatMap((gain, j) => (gain < 1e-6 ? [j] : []));
  const contribution = full.map((row) =>
    row.map((score, j) => (saturated.includes(j) ? Number.NaN : (score - mini[j]!) / own[j]!)),
  );
  const others = (values: readonly number[], i: number) => meanKnown(values.filter((_, j) => j !== i));
  const helps = contribution.map((row, i) => others(row, i));
  const helped = contribution.map((_, j) => contribution.map((row) => row[j]!)).map(others);
  const difficulty = mini.map((score, i) => (full[i]![i]! > 0 ? 1 - score / full[i]![i]! : 0));
  const spread = (scores: readonly number[]) => softmax(scores.map((x) => x / tau)).map((value) => value * k);
  const [a, b, c] = [helps, helped.map((value) => -value), difficulty].map(spread) as [number[], number[], number[]];
  const weights = mini.map((_, i) => out * a[i]! + inward * b[i]! + hardness * c[i]!);
  return { weights, contribution, difficulty, saturated };
}
