/**
 * Membership of the rows to forget by the entropy of a classifier's output: a logistic regression learns to tell rows
 * to keep, which were learnt, from rows that never were. Golatkar et al., CVPR 2020, https://arxiv.org/abs/1911.04933,
 * as Chundawat et al. and Foster et al. measure it. The goal is the value of a model that never saw the rows, not 0.
 */
import { UserError } from "../../../errors.ts";
import { rowsOf } from "../../../run/measuring/groups.ts";
import { defineMetric, type MetricContext } from "../../../run/measuring/metric.ts";
import type { ScoredRow } from "../../../run/scoring/scored-row.ts";
import { entropyOf, memberProbability } from "../../measures/entropy-attack.ts";
import { mean } from "../../measures/means.ts";

/** Rows that were learnt, beside those to forget. */
const KEPT = "retain";

function shareOfMembers(rows: readonly ScoredRow[], setup: MetricContext): number {
  const of = (name: string) => rowsOf(rows, setup, name).map(({ probabilities }) => entropyOf(probabilities!));
  const [kept, never] = [of(KEPT), of(setup.holdout)];
  if (kept.length === 0 || never.length === 0) return Number.NaN;
  const member = memberProbability(kept, never);
  return mean(of(setup.forget).map((entropy) => (member(entropy) > 0.5 ? 1 : 0)));
}

export const method = defineMetric({
  name: "mia-entropy",
  title: "Membership by entropy",
  about: "share of the rows of forget that a regression on the output's entropy takes for learnt ones",
  formula:
    "a logistic regression on the entropy of the classes' probabilities learns to tell the rows of retain from those of holdout, each set counting alike; share of the rows of forget with a probability of more than 0.5 to be of retain",
  reads: "x and label of the groups forget, retain and holdout, for classifiers alone; --gold's value is the goal",
  cite: "arXiv:1911.04933",
  example:
    "bun run evaluate classifier/ --data forget=lost.jsonl --data retain=classes.jsonl --data holdout=unseen.jsonl --metric mia-entropy",
  options: {},
  task: "classifier",
  needs: "probabilities",
  roles: ["forget", "holdout"],
  across: true,
  gold: "used",
  range: [0, 1],
  better: "none",
  laws: {
    rowOrder: true,
    duplicates: true,
    unscoredRows: true,
    otherGroups: true,
    perfectModel: "it compares groups, and a perfect model is sure of all",
  },
  check(groups) {
    if (!groups.includes(KEPT))
      throw new UserError(
        `--metric mia-entropy needs a group named ${KEPT}; the data has ${groups.join(", ")}`,
        `add rows that the model has learnt: --data ${KEPT}=rows.jsonl`,
      );
  },
  value: shareOfMembers,
  details: (_, setup): Record<string, number> => (setup.gold ? { "of gold": shareOfMembers(setup.gold, setup) } : {}),
});
