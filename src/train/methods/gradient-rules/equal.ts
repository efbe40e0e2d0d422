/**
 * Equal weights: the mean of the groups' gradients, each that of the group's mean loss, however many rows of it a step
 * has. What rules of groups are measured by. common practice
 */
import { defineGradientRule, GROUP_LAWS } from "../../../run/training/gradient-rule.ts";
import { GroupGradients } from "../../../run/training/rules/group-gradients.ts";

export const method = defineGradientRule({
  name: "equal",
  title: "Equal weights",
  about: "the mean of the groups' gradients, whatever their numbers of rows",
  cite: "common practice",
  laws: {
    ...GROUP_LAWS,
    descends: "the longest gradient may raise the other losses",
    twice: "a group that is there twice counts twice",
  },
  options: {},
  groups: {},
  rule: ({ gpu, parameters, groups, isShared }) =>
    new GroupGradients(
      gpu,
      parameters,
      { name: "equal", groups, isShared },
      { record: (rec, _, count) => rec.constant(new Float32Array(count).fill(1 / count), [count], "equal weights") },
    ),
});
