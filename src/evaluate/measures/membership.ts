/**
 * Membership attacks: telling rows that a model was trained on from rows that it never saw, by a score per row that is
 * higher for what the model does not know. The result is the area under the ROC curve between the forget group and the
 * holdout group: 1 where every forget row looks more like a member than every holdout row, 0.5 where they cannot be
 * told apart.
 */

import { type Groups, rowsOf } from "../../run/measuring/groups.ts";
import { meanLoss } from "../../run/scoring/mean-loss.ts";
import { bodyTokens, type ScoredRow } from "../../run/scoring/scored-row.ts";

/** Chance that a value of `high` is above one of `low`; equals count half. NaN where one is empty. */
export function areaUnderCurve(low: readonly number[], high: readonly number[]): number {
  const sorted = Float64Array.from(low).sort();
  /** How many of `low` are below x, or not above it. */
  const rank = (x: number, equals: boolean) => {
    let [from, to] = [0, sorted.length];
    while (from < to) {
      const middle = (from + to) >> 1;
      if (sorted[middle]! < x || (equals && sorted[middle] === x)) from = middle + 1;
      else to = middle;
    }
    return from;
  };
  const wins = high.reduce((sum, x) => sum + (rank(x, false) + rank(x, true)) / 2, 0);
  return wins / (low.length * high.length);
}

/**
 * Score of a row, given the share of its tokens that min-k attacks look at; NaN where it has none, which leaves the row
 * out.
 */
export type AttackScore = (row: ScoredRow, share: number) => number;

/** What an attack makes of the forget and the holdout group. */
export function attackArea(rows: readonly ScoredRow[], groups: Groups, score: AttackScore, share: number): number {
  const scores = (name: string) =>
    rowsOf(rows, groups, name)
      .map((row) => score(row, share))
      .filter((x) => !Number.isNaN(x));
  return areaUnderCurve(scores(groups.forget), scores(groups.holdout));
}

/** The option of the attacks that look at the least likely tokens. */
export const MIN_K = {
  min_k: {
    type: "0 < number <= 1",
    default: 0.4,
    help: "share of tokens that the min-k attacks and privleak look at",
    value: "SHARE",
  },
} as const;

/** Minus the mean of the lowest share of values: of the max(1, floor(share n)) lowest. NaN of none. */
export function lowest(values: ArrayLike<number>, share: number): number {
  const n = values.length;
  const count = Math.max(1, Math.floor(share * n + 1e-9));
  const sorted = Float64Array.from(values).sort().subarray(0, count);
  return n === 0 ? Number.NaN : -sorted.reduce((a, b) => a + b, 0) / count;
}

/** The row's log-probabilities, without that of the end of the text. */
const logProbabilities = (row: ScoredRow): Float64Array =>
  Float64Array.from(row.nll.subarray(0, bodyTokens(row)), (nll) => -nll);

/** The mean loss. Yeom et al., CSF 2018, https://arxiv.org/abs/1709.01604 */
export const byLoss: AttackScore = (row) => meanLoss(row);

/** The mean loss divided by the deflated bytes of the answer. Carlini et al. 2021, https://arxiv.org/abs/2012.07805 */
export const byZlib: AttackScore = (row) => meanLoss(row) / row.packedBytes!;

/** The least likely tokens. Shi et al., ICLR 2024, https://arxiv.org/abs/2310.16789 */
export const byMinK: AttackScore = (row, share) => lowest(logProbabilities(row), share);

/**
 * The tokens that are least likely for what the model expects at their place: log-probabilities less their mean over
 * all outputs, divided by their standard deviation. Min-K%++, Zhang et al. 2024, https://arxiv.org/abs/2404.02936
 */
export const byMinKPlus: AttackScore = (row, share) => {
  const moments = row.moments!;
  const standardised = logProbabilities(row).map(
    (logP, i) => (logP - moments[2 * i]!) / Math.sqrt(Math.max(moments[2 * i + 1]!, 1e-6)),
  );
  return lowest(standardised, share);
};
