/** Membership by the mean loss less that of a model that never saw the rows. Carlini et al. 2021, https://arxiv.org/abs/2012.07805 */
import { UserError } from "../../../../errors.ts";
import { defineMetric, meanLoss } from "../../../contract.ts";
import { areaUnderCurve, requireGroup } from "../../../membership.ts";

export const method = defineMetric({
  name: "mia-reference",
  title: "Membership by loss against a reference",
  about: "AUC of the mean loss less that of --gold, between the groups forget and holdout; 0.5: cannot be told apart",
  cite: "arXiv:2012.07805",
  options: {},
  task: "causal-lm",
  across: true,
  usesGold: true,
  lower: true,
  knowledge: "more",
  check(context) {
    if (!context.gold)
      throw new UserError("--metric mia-reference compares with a model that never saw the rows", "give --gold MODEL");
    requireGroup("mia-reference", "forget", context);
    requireGroup("mia-reference", "holdout", context);
  },
  value(rows, { gold, groups, forget, holdout }) {
    if (gold!.length !== rows.length) return Number.NaN; // rows that were split by two tokenizers do not correspond
    const scores = (name: string) =>
      rows
        .flatMap((row, i) => (groups[row.group] === name ? meanLoss(row) - meanLoss(gold![i]!) : []))
        .filter((score) => !Number.isNaN(score));
    return areaUnderCurve(scores(forget), scores(holdout));
  },
});
