/**
 * Agreement with preferences: rows of `prompt`, `chosen` and `rejected`. A reward model agrees where the chosen answer
 * has the larger reward, a language model where it is likelier; `per_token` is by the likelihood per token. With
 * --reference `implicit` is by implicit rewards, beta (log p - log p_ref), as methods such as dpo have them: Rafailov
 * et al. 2023, https://arxiv.org/abs/2305.18290. Lambert et al. 2024 (RewardBench), https://arxiv.org/abs/2403.13787
 */
import { defineMetric } from "../../../run/measuring/metric.ts";
import type { ScoredChoices, ScoredRow } from "../../../run/scoring/scored-row.ts";
import { mean } from "../../measures/means.ts";

/** Of every pair how far the chosen answer is ahead, in rewards or nats. */
const aheads = (rows: readonly ScoredRow[], loss = ({ losses }: ScoredChoices, i: number) => losses[i]!): number[] =>
  rows.flatMap(({ choice }) => (choice ? [loss(choice, 1 - choice.expected) - loss(choice, choice.expected)] : []));

const share = (ahead: readonly number[]): number => mean(ahead.map((x) => (x > 0 ? 1 : 0)));

const perToken = ({ losses, tokens }: ScoredChoices, i: number): number => losses[i]! / Math.max(1, tokens[i]!);

/** How much further the chosen answer is ahead than under the reference, in nats. */
const gains = (rows: readonly ScoredRow[]): number[] => {
  const whole = rows.filter(({ choice }) => choice?.reference);
  const own = aheads(whole);
  const before = aheads(whole, ({ reference }, i) => reference![i]!);
  return own.map((ahead, i) => ahead - before[i]!);
};

export const method = defineMetric({
  name: "preference",
  title: "Agreement with preferences",
  about: "share of pairs of answers whose chosen one has the larger reward, or is likelier",
  formula:
    "rows whose chosen answer has the larger reward (of a language model the larger log-likelihood), divided by all rows",
  reads: "prompt, chosen and rejected of every row; --reference and --beta for implicit rewards",
  cite: "arXiv:2403.13787",
  example: "bun run evaluate reward/ --data preferences.jsonl --metric preference",
  options: {
    reference: {
      type: "string",
      help: "model that likelihoods are held against: the share by implicit rewards, beta (log p - log p_ref), beside the plain one",
      value: "MODEL",
    },
    beta: { type: "number > 0", default: 0.1, needs: "reference", help: "factor of implicit rewards" },
  },
  models: ["reference"],
  needs: "preference",
  range: [0, 1],
  better: "higher",
  laws: {
    rowOrder: true,
    duplicates: true,
    unscoredRows: true,
    otherGroups: "it is measured over whatever rows it is given",
    perfectModel: true,
  },
  value: (rows) => share(aheads(rows)),
  details: (rows, { values: { reference, beta } }) => ({
    margin: mean(aheads(rows)),
    per_token: share(aheads(rows, perToken)),
    ...(reference === undefined ? {} : { implicit: share(gains(rows)), implicit_margin: beta * mean(gains(rows)) }),
  }),
});
