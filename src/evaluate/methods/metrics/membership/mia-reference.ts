/**
 * Membership by the mean loss less that of a model that never saw the rows. Carlini et al. 2021,
 * https://arxiv.org/abs/2012.07805
 */

import { defineMetric } from "../../../../run/measuring/metric.ts";
import { meanLoss } from "../../../../run/scoring/mean-loss.ts";
import { areaUnderCurve } from "../../../measures/membership.ts";
import { COMPARES_GROUPS } from "../../../membership-metric.ts";

export const method = defineMetric({
  ...COMPARES_GROUPS,
  name: "mia-reference",
  title: "Membership by loss against a reference",
  about: "AUC of the mean loss less that of --gold, forget against holdout; 0.5: no difference",
  formula:
    "chance that a row of holdout has a larger mean loss, less that of --gold, than one of forget; equals count half",
  reads: "the tokens that count of the groups forget and holdout; --gold",
  cite: "arXiv:2012.07805",
  options: {},
  gold: "required",
  range: [0, 1],
  better: 0.5,
  knowledge: "more",
  value(rows, { gold, groups, forget, holdout }) {
    if (gold!.length !== rows.length) return Number.NaN; // rows that were split by two tokenizers do not correspond
    const scores = (name: string) =>
      rows
        .flatMap((row, i) => (groups[row.group] === name ? meanLoss(row) - meanLoss(gold![i]!) : []))
        .filter((score) => !Number.isNaN(score));
    return areaUnderCurve(scores(forget), scores(holdout));
  },
});
