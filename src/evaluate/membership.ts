/**
 * Membership attacks: telling rows that a model was trained on from rows that it never saw, by a score per row that is higher
 * for what it does not know. The result is the area under the ROC curve between the forget group and the holdout group: 1 where
 * every forget row looks more like a member than every holdout row, 0.5 where they cannot be told apart.
 */

import { UserError } from "../errors.ts";
import { nearest } from "../method/nearest.ts";
import { bodyTokens, defineMetric, type Metric, type MetricContext, type Need, type ScoredRow } from "./contract.ts";

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

/** Throws UserError unless a group of the name is there. */
export function requireGroup(
  metric: string,
  role: "forget" | "holdout",
  { groups, [role]: name }: Pick<MetricContext, "groups" | "forget" | "holdout">,
): void {
  if (groups.includes(name)) return;
  const near = nearest(name, groups);
  throw new UserError(
    `--metric ${metric} needs a group named ${name}; the data has ${groups.join(", ")}`,
    `name it, --data ${name}=rows.jsonl, or say which it is: --${role} ${near ?? groups[0]}`,
  );
}

export const rowsOf = (rows: readonly ScoredRow[], { groups }: MetricContext, name: string): ScoredRow[] =>
  rows.filter(({ group }) => groups[group] === name);

/** Score of a row; NaN where it has none, which leaves it out. */
export type Attack = (row: ScoredRow, context: MetricContext) => number;

/** What an attack makes of the forget and the holdout group. */
export function attackArea(rows: readonly ScoredRow[], context: MetricContext, attack: Attack): number {
  const scores = (name: string) =>
    rowsOf(rows, context, name)
      .map((row) => attack(row, context))
      .filter((score) => !Number.isNaN(score));
  return areaUnderCurve(scores(context.forget), scores(context.holdout));
}

interface MembershipInfo {
  readonly name: string;
  readonly title: string;
  readonly about: string;
  readonly cite: string;
  readonly needs?: Need;
  readonly attack: Attack;
}

/** A metric of an attack. */
export const membershipMetric = ({ attack, about, ...info }: MembershipInfo): Metric =>
  defineMetric({
    ...info,
    about: `AUC of ${about}, between the groups forget and holdout; 0.5: cannot be told apart`,
    options: {},
    task: "causal-lm",
    across: true,
    lower: true,
    knowledge: "more",
    check(context) {
      requireGroup(info.name, "forget", context);
      requireGroup(info.name, "holdout", context);
    },
    value: (rows, context) => attackArea(rows, context, attack),
  });

/** Minus the mean of the lowest share of values: of the max(1, floor(share n)) lowest. NaN of none. */
export function lowest(values: ArrayLike<number>, share: number): number {
  const n = values.length;
  const count = Math.max(1, Math.floor(share * n + 1e-9));
  const sorted = Float64Array.from(values).sort().subarray(0, count);
  return n === 0 ? Number.NaN : -sorted.reduce((a, b) => a + b, 0) / count;
}

/** The row's log-probabilities, without that of the end of the text. */
export const logProbabilities = (row: ScoredRow): Float64Array =>
  Float64Array.from(row.nll.subarray(0, bodyTokens(row)), (nll) => -nll);

/** Shi et al., ICLR 2024, https://arxiv.org/abs/2310.16789 */
export const minK: Attack = (row, { minK }) => lowest(logProbabilities(row), minK);
