/**
 * The mean loss of the worst groups: conditional value at risk over tasks. Rockafellar and Uryasev 2000,
 * https://doi.org/10.21314/JOR.2000.038; a measure of robustness over tasks in Wang et al. 2025,
 * https://arxiv.org/abs/2501.11039.
 */
import { defineMetric } from "../../../run/measuring/metric.ts";
import { summedLoss, tokens } from "../../../run/scoring/scored-row.ts";
import { ratio } from "../../measures/means.ts";

export const method = defineMetric({
  name: "cvar",
  title: "Loss of the worst groups",
  about: "mean loss of the worst share of the groups",
  formula:
    "loss of every group, each a mean over its tokens; then the mean of the largest, as many as the share says, the last in part where that is no whole number",
  reads: "the tokens that count of every row, and its group; --cvar-share",
  cite: "Rockafellar 2000",
  options: {
    cvar_share: { type: "0 < number <= 1", default: 0.5, help: "share of the groups, the worst ones; 1 - alpha" },
  },
  across: true,
  range: [0, Number.POSITIVE_INFINITY],
  better: "lower",
  laws: {
    rowOrder: true,
    duplicates: true,
    unscoredRows: true,
    otherGroups: "it compares all groups",
    perfectModel: true,
  },
  value(rows, { values: { cvar_share: share } }) {
    const losses = [...Map.groupBy(rows, ({ group }) => group).values()]
      .map((own) => ratio(own, summedLoss, tokens))
      .filter(Number.isFinite)
      .sort((a, b) => b - a);
    const wanted = share * losses.length;
    const part = (i: number) => Math.max(0, Math.min(1, wanted - i));
    return losses.reduce((sum, loss, i) => sum + part(i) * loss, 0) / wanted;
  },
});
