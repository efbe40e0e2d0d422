/**
 * Whether truth ratios of the forget group are those of a model that never saw it: the p-value of a Kolmogorov-Smirnov
 * test. TOFU, Maini et al. 2024, https://arxiv.org/abs/2401.06121
 *
 * The p-value is exact, as OpenUnlearning has it through scipy; TOFU's own numbers are asymptotic for large groups. Of
 * more than 10,000 rows it is always asymptotic. p-values of different numbers of rows cannot be compared: a distance
 * of 0.2 is p = 0.36 of 40 rows and 5e-4 of 200.
 */

import { rowsOf } from "../../../run/measuring/groups.ts";
import { defineMetric, type MetricSetup } from "../../../run/measuring/metric.ts";
import type { ScoredRow } from "../../../run/scoring/scored-row.ts";
import { kolmogorovSmirnov } from "../../measures/kolmogorov-smirnov.ts";
import { truthRatios } from "../../measures/truth-ratios.ts";

const P_VALUE = {
  p_value: {
    type: "'exact' | 'asymptotic'",
    default: "exact",
    help: "how forget-quality finds the chance of a distance as large",
  },
} as const;

function compare(rows: readonly ScoredRow[], setup: MetricSetup<typeof P_VALUE>): { d: number; p: number; n: number } {
  const ratios = (list: readonly ScoredRow[]) => truthRatios(rowsOf(list, setup, setup.forget));
  const own = ratios(rows);
  const exact = setup.values.p_value === "exact";
  return { ...kolmogorovSmirnov(own, ratios(setup.gold!), { exact }), n: own.length };
}

export const method = defineMetric({
  name: "forget-quality",
  title: "Forget quality",
  about: "p-value of a test that truth ratios of the group forget are those of --gold",
  formula:
    "p-value of the two-sample Kolmogorov-Smirnov test between the truth ratios of the model and of --gold, each P_wrong / P_right of a row",
  reads:
    "rows of the group forget with perturbed_answer (a list of wrong answers) and, if there is one, paraphrased_answer; --gold; the option --p-value",
  cite: "arXiv:2401.06121",
  options: P_VALUE,
  task: "causal-lm",
  needs: "truth",
  roles: ["forget"],
  across: true,
  gold: "required",
  interval: false,
  range: [0, 1],
  better: "higher",
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
