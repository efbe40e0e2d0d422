/**
 * MGDA: the shortest vector in the hull of the groups' gradients, along which every group's loss falls until none can
 * without another's rise.
 *
 *   min_w |sum_j w_j g_j|^2,  w on the simplex
 *
 * Desideri 2012, https://doi.org/10.1016/j.crma.2012.03.014; Sener and Koltun, NeurIPS 2018,
 * https://arxiv.org/abs/1810.04650, on the gradients of the weights themselves. Solved exactly in f64 on the host,
 * which waits for the products of every step.
 */
import { defineGradientRule, GROUP_LAWS } from "../../../run/training/gradient-rule.ts";
import { MOST_OBJECTIVES, shortestWeights } from "../../../run/training/pareto-weights.ts";
import { GroupGradients } from "../../../run/training/rules/group-gradients.ts";

export const method = defineGradientRule({
  name: "mgda",
  title: "Multiple-gradient descent",
  about: "the shortest gradient between those of the groups, which lowers every loss",
  cite: "arXiv:1810.04650",
  laws: GROUP_LAWS,
  options: {},
  groups: { most: MOST_OBJECTIVES },
  rule: ({ gpu, parameters, groups, isShared }) =>
    new GroupGradients(gpu, parameters, { name: "mgda", groups, isShared }, { solve: shortestWeights }),
});
