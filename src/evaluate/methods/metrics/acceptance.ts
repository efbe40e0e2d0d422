/**
 * Acceptance of a draft model: how often the model would keep a token that the draft drew, at temperature 1.
 * Leviathan et al. 2023, https://arxiv.org/abs/2211.17192, theorem 3.5.
 */
import { defineMetric } from "../../../run/measuring/metric.ts";
import type { ScoredRow } from "../../../run/scoring/scored-row.ts";
import { mean } from "../../measures/means.ts";

const overlaps = (rows: readonly ScoredRow[]): number[] => rows.flatMap(({ draft }) => [...(draft?.overlap ?? [])]);

/** Places at which both have the same best guess. */
const alike = (rows: readonly ScoredRow[]): number[] =>
  rows.flatMap(({ argmax, draft }) => (draft ? [...argmax].map((id, i) => (id === draft.argmax[i] ? 1 : 0)) : []));

export const method = defineMetric({
  name: "acceptance",
  title: "Acceptance of a draft",
  about: "share of the tokens of a draft model that speculative decoding would keep",
  formula:
    "sum over all outputs of the smaller of both models' probabilities, in the mean over all tokens that count; greedy: share of those tokens at which both have the same best guess, which is what temperature 0 keeps",
  reads: "the tokens that count of every row; --draft",
  cite: "arXiv:2211.17192",
  example: "bun run evaluate large/ --draft small/ --data rows.jsonl --metric acceptance",
  options: {
    draft: { type: "string", help: "the model that writes ahead, as sample --draft", value: "MODEL" },
  },
  models: ["draft"],
  needs: "draft",
  task: "causal-lm",
  range: [0, 1],
  better: "higher",
  laws: {
    rowOrder: true,
    duplicates: true,
    unscoredRows: true,
    otherGroups: "it is measured over whatever rows it is given",
    perfectModel: "a draft may say otherwise",
  },
  value: (rows) => mean(overlaps(rows)),
  details: (rows) => ({ greedy: mean(alike(rows)) }),
});
