/**
 * What a model is still good for: probability, ROUGE-L recall and the retain aggregate of truth ratios, each on rows to
 * keep, on real people and on facts of the world. TOFU, Maini et al. 2024, https://arxiv.org/abs/2401.06121
 *
 * Probability is normalised by wrong options on the last two. Groups that the data lacks are left out.
 */
import { UserError } from "../../errors.ts";
import { KEPT_GROUPS, rowsOf } from "../../run/measuring/groups.ts";
import type { ScoredRow } from "../../run/scoring/scored-row.ts";
import { normalisedProbability, probability } from "./probability.ts";
import { rougeRecall } from "./rouge.ts";
import { likelihoods, retainAggregate } from "./truth-ratios.ts";

const groupOf = (role: string, names: readonly string[]): string | undefined =>
  names.find((name) => KEPT_GROUPS[role]!.includes(name));

/** Up to nine numbers by name. */
export function utilityParts(
  rows: readonly ScoredRow[],
  groups: { readonly groups: readonly string[] },
): Record<string, number> {
  const found: Record<string, number> = {};
  for (const role of Object.keys(KEPT_GROUPS)) {
    const name = groupOf(role, groups.groups);
    if (name === undefined) continue;
    const own = rowsOf(rows, groups, name);
    found[role === "retain" ? "retain probability" : `${role} normalised probability`] =
      role === "retain" ? probability(own) : normalisedProbability(own);
    found[`${role} rouge-l`] = rougeRecall(own);
    found[`${role} truth ratio`] = retainAggregate(likelihoods(own));
  }
  return found;
}

/** Throws UserError, naming the metric, where the data has none of the groups. */
export function requireUtilityGroups(groups: readonly string[], metric: string): void {
  if (Object.keys(KEPT_GROUPS).some((role) => groupOf(role, groups) !== undefined)) return;
  throw new UserError(
    `--metric ${metric} needs a group named retain, real or world; the data has ${groups.join(", ")}`,
    "name it: --data retain=rows.jsonl",
  );
}
