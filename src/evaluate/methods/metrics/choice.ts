/** Multiple choice by likelihood: rows of `prompt`, `choices` and `answer`, the place of the right one. */
import { defineMetric, ratio } from "../../contract.ts";

export const method = defineMetric({
  name: "choice",
  title: "Multiple choice",
  about: "share of questions whose likeliest choice is right; per_token divides by the length of each choice",
  cite: "arXiv:2005.14165",
  options: {},
  task: "causal-lm",
  needs: "choice",
  lower: false,
  knowledge: "more",
  value: (rows) => {
    const known = rows.filter(({ choice }) => choice);
    return ratio(
      known,
      ({ choice }) => (choice!.found === choice!.expected ? 1 : 0),
      () => 1,
    );
  },
  details: (rows) => {
    const known = rows.filter(({ choice }) => choice);
    return {
      per_token: ratio(
        known,
        ({ choice }) => (choice!.foundPerToken === choice!.expected ? 1 : 0),
        () => 1,
      ),
    };
  },
});
