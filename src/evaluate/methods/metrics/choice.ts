/**
 * Multiple choice by likelihood: rows of `prompt`, `choices` and `answer`, the place of the right one. Each choice is
 * scored alone behind the prompt, as lm-evaluation-harness does: without a token that ends the text, and with a prompt
 * that loses its beginning where both are too long. Brown et al. 2020, https://arxiv.org/abs/2005.14165
 */

import { defineMetric } from "../../../run/measuring/metric.ts";
import type { ScoredChoices, ScoredRow } from "../../../run/scoring/scored-row.ts";
import { likeliest } from "../../measures/choices.ts";
import { mean } from "../../measures/means.ts";

type Normalise = "none" | "tokens" | "bytes";

const lengths = (choice: ScoredChoices, by: Normalise) => (by === "none" ? undefined : choice[by]);

/** Share of the rows that have choices whose likeliest one is right. */
const share = (rows: readonly ScoredRow[], by: Normalise): number =>
  mean(
    rows.flatMap(({ choice }) =>
      choice ? [likeliest(choice.losses, lengths(choice, by)) === choice.expected ? 1 : 0] : [],
    ),
  );

export const method = defineMetric({
  name: "choice",
  title: "Multiple choice",
  about: "share of questions whose likeliest choice is right; per_token and per_byte divide by the choice's length",
  formula:
    "rows whose right choice has the largest sum of log-probabilities (divided by its tokens or bytes under --normalise), divided by all rows",
  reads: "prompt, choices (a list) and answer (the place of the right one, from 0); the option --normalise",
  cite: "arXiv:2005.14165",
  options: {
    normalise: {
      type: "'none' | 'tokens' | 'bytes'",
      default: "none",
      help: "what the log-likelihood of a choice is divided by",
    },
  },
  task: "causal-lm",
  needs: "choice",
  range: [0, 1],
  better: "higher",
  knowledge: "more",
  laws: {
    rowOrder: true,
    duplicates: true,
    unscoredRows: true,
    otherGroups: "it is measured over whatever rows it is given",
    perfectModel: true,
  },
  value: (rows, { values }) => share(rows, values.normalise),
  details: (rows) => ({ per_token: share(rows, "tokens"), per_byte: share(rows, "bytes") }),
});
