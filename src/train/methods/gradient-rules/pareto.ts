/**
 * Pareto weights: the groups' gradients are weighed in every step by a small linear program so that no group's loss
 * goes up; among such weights, those by which all losses fall fastest, or which follow best the gradient of a group
 * that only guides (run/training/pareto-weights.ts has the program).
 *
 * Lv et al., "Pareto domain adaptation", NeurIPS 2021, https://arxiv.org/abs/2112.04137. The paper takes the number of
 * objectives times the weighted sum; here it is the sum, so that a learning rate means the same for any number of
 * groups. The paper stops being guided where the guide's loss is near its minimum; here where its gradient is 0, or a
 * step has no row of it. Where no weights are feasible they are those of mgda. Solved in f64 on the host, which waits
 * for the products of every step.
 */
import { UserError } from "../../../errors.ts";
import { defineGradientRule, GROUP_LAWS } from "../../../run/training/gradient-rule.ts";
import { MOST_OBJECTIVES, paretoWeights } from "../../../run/training/pareto-weights.ts";
import { GroupGradients } from "../../../run/training/rules/group-gradients.ts";

/** Weights of the groups of a step; that of the guide is 0. */
export function guidedWeights(
  gram: readonly (readonly number[])[],
  groups: readonly string[],
  guide: string | undefined,
): number[] {
  const at = guide === undefined ? -1 : groups.indexOf(guide);
  if (at < 0) return paretoWeights(gram);
  const without = <T>(row: readonly T[]) => row.filter((_, i) => i !== at);
  if (groups.length === 1) return [0];
  const products = gram[at]![at]! > 0 ? without(gram[at]!) : undefined;
  const weights = paretoWeights(without(gram).map(without), products);
  return [...weights.slice(0, at), 0, ...weights.slice(at)];
}

export const method = defineGradientRule({
  name: "pareto",
  title: "Pareto weights",
  about: "weights of the groups' gradients by which no group's loss goes up, perhaps guided by another group",
  cite: "arXiv:2112.04137",
  laws: GROUP_LAWS,
  options: {
    pareto_guide: {
      type: "string",
      help: "a group of --data that only guides the others: nothing is learnt from its rows",
      value: "NAME",
    },
  },
  groups: { most: MOST_OBJECTIVES },
  check({ pareto_guide: guide }, groups) {
    if (guide === undefined) return;
    if (!groups.includes(guide))
      throw new UserError(`--pareto-guide ${guide} is no group of --data`, `the groups are ${groups.join(", ")}`);
    if (groups.length < 2) throw new UserError(`--pareto-guide ${guide} leaves no group to learn from`);
  },
  rule: ({ gpu, parameters, groups, isShared, values: { pareto_guide: guide } }) =>
    new GroupGradients(
      gpu,
      parameters,
      { name: "pareto", groups, isShared },
      { solve: (gram, present) => guidedWeights(gram, present, guide), guide },
    ),
});
