/**
 * What a model is still good for: the harmonic mean of probability, ROUGE-L recall and the retain aggregate of truth ratios, each
 * on rows to keep, on real people and on facts of the world. TOFU, Maini et al. 2024, https://arxiv.org/abs/2401.06121
 *
 * Probability is normalised by wrong options on the last two. Groups that are not there are left out; the details say which
 * numbers went in. Any zero makes it zero.
 */
import { UserError } from "../../../errors.ts";
import { defineMetric, type MetricContext, mean, type ScoredRow } from "../../contract.ts";
import { rowsOf } from "../../membership.ts";
import { normalisedProbability } from "./normalised-probability.ts";
import { probability } from "./probability.ts";
import { rougeOf } from "./rouge-l.ts";
import { likelihoods, retainAggregate } from "./truth-ratio.ts";

/** Names that groups of a role may have. */
const ROLES: Readonly<Record<string, readonly string[]>> = {
  retain: ["retain"],
  real: ["real", "real-people", "real-authors", "real_people", "real_authors"],
  world: ["world", "world-facts", "world_facts"],
};

const groupOf = (role: string, groups: readonly string[]): string | undefined =>
  groups.find((name) => ROLES[role]!.includes(name));

/** Up to nine numbers by name. */
function parts(rows: readonly ScoredRow[], context: MetricContext): Record<string, number> {
  const found: Record<string, number> = {};
  for (const role of Object.keys(ROLES)) {
    const name = groupOf(role, context.groups);
    if (name === undefined) continue;
    const own = rowsOf(rows, context, name);
    found[role === "retain" ? "retain probability" : `${role} normalised probability`] =
      role === "retain" ? probability(own) : normalisedProbability(own);
    found[`${role} rouge-l`] = mean(rougeOf(own).map(({ recall }) => recall));
    found[`${role} truth ratio`] = retainAggregate(likelihoods(own));
  }
  return found;
}

/** 0 where a value is 0, NaN where one is unknown. */
export function harmonicMean(values: readonly number[]): number {
  return values.length / values.reduce((sum, value) => sum + 1 / value, 0);
}

export const method = defineMetric({
  name: "model-utility",
  title: "Model utility",
  about:
    "harmonic mean of probability, ROUGE-L recall and truth ratio over the groups retain, real and world, those that are there",
  cite: "arXiv:2401.06121",
  options: {},
  task: "causal-lm",
  needs: ["continued", "truth", "options"],
  across: true,
  lower: false,
  knowledge: "more",
  check({ groups }) {
    if (Object.keys(ROLES).every((role) => groupOf(role, groups) === undefined))
      throw new UserError(
        `--metric model-utility needs a group named retain, real or world; the data has ${groups.join(", ")}`,
        "name it: --data retain=rows.jsonl",
      );
  },
  value: (rows, context) => harmonicMean(Object.values(parts(rows, context))),
  details: parts,
});
