/**
 * PCGrad: every group's gradient loses what goes against the others', one after the other in a random order; the mean
 * of what is left is the step's.
 *
 *   g_i <- g_i - min(0, <g_i, g_j>) / |g_j|^2 g_j     for j in random order, g_j as it was
 *
 * Yu et al., "Gradient surgery for multi-task learning", NeurIPS 2020, https://arxiv.org/abs/2001.06782, Algorithm 1.
 * The paper adds the gradients up; here it is their mean, so that a learning rate means the same for any number of
 * groups. The order is drawn by seed, step and group. Nothing is read back.
 */
import { Random } from "../../../data/random.ts";
import { defineGradientRule, GROUP_LAWS } from "../../../run/training/gradient-rule.ts";
import { GroupGradients } from "../../../run/training/rules/group-gradients.ts";

/** In which order the group at `place` meets the groups of a step. */
export function meetingOrder(seed: number, step: number, groups: readonly string[], place: number): number[] {
  const random = new Random(seed, "pcgrad", step, groups[place]!);
  const order = groups.map((_, i) => i);
  for (let i = order.length - 1; i > 0; i--) {
    const j = random.below(i + 1);
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  return order;
}

export const method = defineGradientRule({
  name: "pcgrad",
  title: "Gradient surgery",
  about: "each group's gradient loses what goes against the others'",
  cite: "arXiv:2001.06782",
  laws: {
    ...GROUP_LAWS,
    descends: "with three groups, one projection may undo another",
    twice: "a group that is there twice counts twice",
  },
  options: {},
  groups: {},
  rule: ({ gpu, parameters, seed, groups, isShared }) =>
    new GroupGradients(
      gpu,
      parameters,
      { name: "pcgrad", groups, isShared },
      {
        record(rec, gram, m) {
          const weights = rec.scratch([m], "weights of groups");
          rec.step({
            kernel: "training/pcgrad-weights",
            bind: {
              gram: gram(),
              order: rec.input("order", [m, m], "i32"),
              shares: rec.scratch([m, m], "shares"),
              weights,
            },
            params: { m },
            groups: [1],
          });
          return weights;
        },
        fill(program, step, present) {
          const orders = present.flatMap((_, place) => meetingOrder(seed, step, present, place));
          program.write("order", Int32Array.from(orders));
        },
      },
    ),
});
