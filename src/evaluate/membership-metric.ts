/** A metric that is a membership attack: all of them compare the same groups in the same way. */

import { defineMetric, type Metric } from "../run/measuring/metric.ts";
import type { Need } from "../run/scoring/scored-row.ts";
import { type AttackScore, attackArea, MIN_K } from "./measures/membership.ts";

interface MembershipInfo {
  readonly name: string;
  readonly title: string;
  /** What the rows' scores are. */
  readonly about: string;
  readonly formula: string;
  readonly reads: string;
  readonly cite: string;
  readonly needs?: Need;
  readonly score: AttackScore;
}

/** What all metrics have in common that compare the groups to forget and never learned. */
export const COMPARES_GROUPS = {
  task: "causal-lm",
  across: true,
  roles: ["forget", "holdout"],
  laws: {
    rowOrder: true,
    duplicates: true,
    unscoredRows: true,
    otherGroups: true,
    perfectModel: "it compares two groups, and a perfect model knows both",
  },
} as const;

const membershipInfo = ({ score: _, about, ...info }: MembershipInfo) =>
  ({
    ...COMPARES_GROUPS,
    ...info,
    about: `AUC of ${about}, forget against holdout; 0.5: no difference`,
    range: [0, 1],
    better: 0.5,
    knowledge: "more",
  }) as const;

/**
 * The metric of an attack whose scores depend on the row alone.
 *
 *   export const method = membershipMetric({ name: "mia-loss", ..., about: "the mean loss", score: byLoss });
 */
export const membershipMetric = (info: MembershipInfo): Metric<Record<never, never>> =>
  defineMetric({
    ...membershipInfo(info),
    options: {},
    value: (rows, setup) => attackArea(rows, setup, info.score, 1),
  });

/** The metric of an attack that looks at the least likely tokens, `--min-k` of them. */
export const leastTokensMetric = (info: MembershipInfo): Metric<typeof MIN_K> =>
  defineMetric({
    ...membershipInfo(info),
    options: MIN_K,
    value: (rows, setup) => attackArea(rows, setup, info.score, setup.values.min_k),
  });
