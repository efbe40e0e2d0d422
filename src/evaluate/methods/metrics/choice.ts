/** Multiple choice by likelihood: rows of `prompt`, `choices` and `answer`, the place of the right one. */
import type { ScoredRow } from "../../../run/scoring/scored-row.ts";
import { defineMetric } from "../../contract.ts";
import { mean } from "../../measures/means.ts";

/** Share of the rows that have choices for which `isRight` holds. */
const share = (rows: readonly ScoredRow[], isRight: (choice: NonNullable<ScoredRow["choice"]>) => boolean): number =>
  mean(rows.flatMap(({ choice }) => (choice ? [isRight(choice) ? 1 : 0] : [])));

export const method = defineMetric({
  name: "choice",
  title: "Multiple choice",
  about: "share of questions whose likeliest choice is right; per_token divides by the length of each choice",
  cite: "arXiv:2005.14165",
  options: {},
  task: "causal-lm",
  needs: "choice",
  range: [0, 1],
  lower: false,
  knowledge: "more",
  laws: {
    rowOrder: true,
    duplicates: true,
    unscoredRows: true,
    otherGroups: "it is measured over whatever rows it is given",
    perfectModel: true,
  },
  value: (rows) => share(rows, ({ found, expected }) => found === expected),
  details: (rows) => ({ per_token: share(rows, ({ foundPerToken, expected }) => foundPerToken === expected) }),
});
