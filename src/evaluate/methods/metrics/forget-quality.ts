/**
 * Whether truth ratios of the forget group are those of a model that never saw it: the p-value of a Kolmogorov-Smirnov
 * test. TOFU, Maini et al. 2024, https://arxiv.org/abs/2401.06121
 *
 * p-values of different numbers of rows cannot be compared: a distance of 0.2 is p = 0.36 of 40 rows and 5e-4 of 200.
 */
import type { ScoredRow } from "../../../run/scoring/scored-row.ts";
import { defineMetric, type MetricContext } from "../../contract.ts";
import { rowsOf } from "../../groups.ts";
import { kolmogorovSmirnov } from "../../measures/kolmogorov-smirnov.ts";
import { truthRatios } from "../../measures/truth-ratios.ts";

function compare(rows: readonly ScoredRow[], context: MetricContext): { d: number; p: number; n: number } {
  const ratios = (list: readonly ScoredRow[]) => truthRatios(rowsOf(list, context, context.forget));
  const own = ratios(rows);
  return { ...kolmogorovSmirnov(own, ratios(context.gold!)), n: own.length };
}

export const method = defineMetric({
  name: "forget-quality",
  title: "Forget quality",
  about: "p-value of a test that truth ratios of the group forget are those of --gold",
  cite: "arXiv:2401.06121",
  options: {},
  task: "causal-lm",
  needs: "truth",
  roles: ["forget"],
  across: true,
  gold: "required",
  interval: false,
  range: [0, 1],
  lower: false,
  laws: {
    rowOrder: true,
    duplicates: "the same distance is less likely by chance of more rows",
    unscoredRows: true,
    otherGroups: true,
    perfectModel: "a model that knows the rows is not one that never saw them",
  },
  value: (rows, setup) => compare(rows, setup).p,
  details(rows, setup) {
    const { d, n } = compare(rows, setup);
    return { D: d, n };
  },
});
