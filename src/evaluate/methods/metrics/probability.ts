/** Probability of the right answer: the geometric mean over its tokens, averaged over rows. */
import { defineMetric, mean, meanLoss, type ScoredRow, tokens } from "../../contract.ts";

export const probability = (rows: readonly ScoredRow[]): number =>
  mean(rows.filter((row) => tokens(row) > 0).map((row) => Math.exp(-meanLoss(row))));

export const method = defineMetric({
  name: "probability",
  title: "Probability",
  about: "probability of the right answer, the geometric mean over its tokens; mean over rows",
  cite: "arXiv:2401.06121",
  options: {},
  lower: false,
  knowledge: "more",
  value: (rows) => probability(rows),
});
