/**
 * AdamW in a subspace of the gradient: the moments of a matrix are those of its gradient's leading singular directions,
 * chosen anew every so many steps. Zhao et al., ICML 2024, https://arxiv.org/abs/2403.03507. The subspace is found by
 * iteration from a start that seed, step and name choose, in the place of an SVD. Moments stay where it changes, as in
 * the paper's code.
 */
import { defineOptimizer, EVERY_OPTIMIZER_LAW } from "../../../run/training/optimizer.ts";
import { scale } from "../../../tensor/ops/elementwise.ts";
import { leadingRows, MOST_ROWS } from "../../../tensor/ops/orthonormal-rows.ts";
import { ADAMW_OPTIONS, adamStep, besideBy, corrections } from "../../adamw.ts";
import { lift, normalsOf, project, projectedShape, sidesOf } from "../../projection.ts";

export const method = defineOptimizer({
  name: "galore",
  title: "GaLore",
  about: "AdamW in a subspace of a matrix's gradient, chosen anew every so many steps",
  cite: "arXiv:2403.03507",
  laws: { ...EVERY_OPTIMIZER_LAW, elementwise: "a matrix's gradient is projected as a whole" },
  options: {
    ...ADAMW_OPTIONS,
    galore_rank: {
      type: `1 <= number.integer <= ${MOST_ROWS}`,
      default: 128,
      help: "directions of the smaller side of a matrix",
      value: "R",
    },
    galore_every: {
      type: "number.integer >= 1",
      default: 200,
      help: "steps from one subspace to the next",
      value: "N",
    },
    galore_scale: { type: "number > 0", default: 0.25, help: "of a step in the subspace", value: "X" },
    galore_iterations: { type: "number.integer >= 1", default: 3, help: "rounds of subspace iteration", value: "N" },
  },
  rule: {
    states({ shape }, { galore_rank }) {
      const sides = sidesOf(shape, galore_rank);
      const small = projectedShape(sides);
      return { basis: [sides.rank, sides.small], mean: small, square: small };
    },
    record(rec, { gradient, states, number, values }) {
      const sides = sidesOf(gradient.shape, values.galore_rank);
      const basis = states.basis!;
      const held = { mean: states.mean!, square: states.square! };
      const { update, states: next } = adamStep(rec, project(rec, gradient, basis, sides), held, values, {
        keep1: values.beta1,
        keep2: values.beta2,
        correction1: number("correction1"),
        correction2: number("correction2"),
      });
      return { update: scale(rec, lift(rec, update, basis, sides), values.galore_scale), states: next };
    },
  },
  refresh: {
    every: ({ galore_every }) => galore_every,
    fill({ shape }, { galore_rank }, unit) {
      const { rank, small } = sidesOf(shape, galore_rank);
      return { basis: normalsOf(rank * small, 1, unit) };
    },
    record(rec, { gradient, states, values: { galore_rank, galore_iterations: iterations } }) {
      const { left } = sidesOf(gradient.shape, galore_rank);
      return { basis: leadingRows(rec, gradient, states.basis!, { left, iterations }) };
    },
  },
  instead: ({ isHidden }, values) => (isHidden ? undefined : { bound: besideBy(values), rate: 1 }),
  savedAs: { mean: "exp_avg", square: "exp_avg_sq" },
  fixed: () => ({}),
  numbers: (values, { t, lr, decay }) => ({ shrink: 1 - lr * decay, rate: lr, ...corrections(values, t) }),
});
