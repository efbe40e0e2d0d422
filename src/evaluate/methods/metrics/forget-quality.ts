/**
 * Whether truth ratios of the forget group are those of a model that never saw it: the p-value of a Kolmogorov-Smirnov test.
 * TOFU, Maini et al. 2024, https://arxiv.org/abs/2401.06121
 *
 * p-values of different numbers of rows cannot be compared: a distance of 0.2 is p = 0.36 of 40 rows and 5e-4 of 200.
 */
import { UserError } from "../../../errors.ts";
import { defineMetric, type MetricContext, type ScoredRow } from "../../contract.ts";
import { kolmogorovSmirnov } from "../../kolmogorov-smirnov.ts";
import { requireGroup, rowsOf } from "../../membership.ts";
import { truthRatios } from "./truth-ratio.ts";

function compared(rows: readonly ScoredRow[], context: MetricContext): { d: number; p: number; n: number } {
  const [own, gold] = [rows, context.gold!].map((list) => truthRatios(rowsOf(list, context, context.forget)));
  return { ...kolmogorovSmirnov(own!, gold!), n: own!.length };
}

export const method = defineMetric({
  name: "forget-quality",
  title: "Forget quality",
  about: "p-value of a test that truth ratios of the group forget are those of --gold; the distance D and n beside it",
  cite: "arXiv:2401.06121",
  options: {},
  task: "causal-lm",
  needs: "truth",
  across: true,
  usesGold: true,
  interval: false,
  lower: false,
  check(context) {
    if (!context.gold)
      throw new UserError(
        "--metric forget-quality compares with a model that never saw the group to forget, but there is none",
        "train one on the retain rows alone and give --gold MODEL",
      );
    requireGroup("forget-quality", "forget", context);
  },
  value: (rows, context) => compared(rows, context).p,
  details(rows, context) {
    const { d, n } = compared(rows, context);
    return { D: d, n };
  },
});
