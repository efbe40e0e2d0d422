/**
 * How far the min-k attack is from what it makes of a model that never saw the forget group. MUSE, Shi et al. 2024,
 * https://arxiv.org/abs/2407.06460
 *
 * 100 ((1 - AUC) - (1 - AUC_gold)) / (1 - AUC_gold + 1e-10). About -100: still memorised; 0: like gold; clearly above: forget
 * rows look less likely than rows that were never seen.
 */

import { defineMetric, type MetricContext, type ScoredRow } from "../../../contract.ts";
import { attackArea, minK, requireGroup } from "../../../membership.ts";

/** Without a gold model 0.5, what an ideal one would have. */
const goldArea = (context: MetricContext): number => (context.gold ? attackArea(context.gold, context, minK) : 0.5);

export function privacyLeak(area: number, gold: number): number {
  return (100 * (1 - area - (1 - gold))) / (1 - gold + 1e-10);
}

export const method = defineMetric({
  name: "privleak",
  title: "PrivLeak",
  about:
    "min-k attack between the groups forget and holdout against that on --gold (0.5 without): -100 memorised, 0 like gold, above: over-unlearned",
  cite: "arXiv:2407.06460",
  options: {},
  task: "causal-lm",
  across: true,
  usesGold: true,
  lower: false,
  knowledge: "less",
  check(context) {
    requireGroup("privleak", "forget", context);
    requireGroup("privleak", "holdout", context);
  },
  value: (rows: readonly ScoredRow[], context) => privacyLeak(attackArea(rows, context, minK), goldArea(context)),
  details: (rows, context) => ({ auc: attackArea(rows, context, minK), "auc of gold": goldArea(context) }),
});
