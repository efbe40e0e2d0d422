/**
 * Gradients whose channels are scaled as AdamW would scale them in a small random subspace: the states of a matrix are
 * those of the subspace. Zhu et al., MLSys 2025, https://arxiv.org/abs/2412.05270. Rank 1 with one scale for the whole
 * matrix is the paper's Mini form (`--apollo-rank 1 --apollo-scope tensor --apollo-scale 11.3`). The projection is
 * held, where the paper's code holds its seed.
 */
import { defineOptimizer, EVERY_OPTIMIZER_LAW } from "../../../run/training/optimizer.ts";
import { addScalar, clamp, div, mul, scale, sqrt, square, sumTo } from "../../../tensor/ops/elementwise.ts";
import { dot } from "../../../tensor/ops/reduce.ts";
import type { Recorder } from "../../../tensor/recorder.ts";
import type { Tensor } from "../../../tensor/tensor.ts";
import { ADAMW_OPTIONS, adamStep, besideBy, corrections } from "../../adamw.ts";
import { normalsOf, project, projectedShape, type Sides, sidesOf } from "../../projection.ts";

const EPSILON = 1e-8;
const MOST = 3e38;

/** Lengths of the channels of a projected matrix, (1, n) or (m, 1), or of the whole, (1). */
function lengths(rec: Recorder, x: Tensor, { left, large }: Sides, isWhole: boolean): Tensor {
  if (isWhole) return sqrt(rec, dot(rec, x, x));
  return sqrt(rec, sumTo(rec, square(rec, x), left ? [1, large] : [large, 1]));
}

export const method = defineOptimizer({
  name: "apollo",
  title: "APOLLO",
  about: "gradients scaled by channel as AdamW would in a small random subspace",
  cite: "arXiv:2412.05270",
  laws: { ...EVERY_OPTIMIZER_LAW, elementwise: "the values of a channel share a scale" },
  options: {
    ...ADAMW_OPTIONS,
    apollo_rank: {
      type: "number.integer >= 1",
      default: 128,
      help: "random directions of the smaller side of a matrix",
      value: "R",
    },
    apollo_every: {
      type: "number.integer >= 1",
      default: 200,
      help: "steps from one projection to the next",
      value: "N",
    },
    apollo_scope: { type: "'channel' | 'tensor'", default: "channel", help: "what has a scale of its own" },
    apollo_scale: { type: "number > 0", default: 1, help: "times this", value: "X" },
    apollo_growth: {
      type: "number > 1",
      default: 1.01,
      help: "largest norm of a step over the last one's",
      value: "X",
    },
  },
  rule: {
    states({ shape }, { apollo_rank }) {
      const sides = sidesOf(shape, apollo_rank);
      const small = projectedShape(sides);
      return { projection: [sides.rank, sides.small], mean: small, square: small, norm: [1] };
    },
    record(rec, { gradient, states, number, values }) {
      const sides = sidesOf(gradient.shape, values.apollo_rank);
      const isWhole = values.apollo_scope === "tensor";
      const projected = project(rec, gradient, states.projection!, sides);
      const { update: wanted, states: next } = adamStep(
        rec,
        projected,
        { mean: states.mean!, square: states.square! },
        values,
        {
          keep1: values.beta1,
          keep2: values.beta2,
          correction1: number("correction1"),
          correction2: number("correction2"),
        },
      );
      const own = addScalar(rec, lengths(rec, projected, sides, isWhole), EPSILON);
      const scaled = mul(rec, gradient, div(rec, lengths(rec, wanted, sides, isWhole), own));
      const norm = sqrt(rec, dot(rec, scaled, scaled));
      // The first step is bounded by nothing.
      const before = addScalar(rec, addScalar(rec, states.norm!, EPSILON), number("unbounded"));
      const excess = scale(
        rec,
        clamp(rec, div(rec, norm, before), values.apollo_growth, MOST),
        1 / values.apollo_growth,
      );
      return {
        update: scale(rec, div(rec, scaled, excess), values.apollo_scale),
        states: { ...next, norm: div(rec, norm, excess) },
      };
    },
  },
  refresh: {
    every: ({ apollo_every }) => apollo_every,
    fill({ shape }, { apollo_rank }, unit) {
      const { rank, small } = sidesOf(shape, apollo_rank);
      return { projection: normalsOf(rank * small, 1 / Math.sqrt(rank), unit) };
    },
  },
  instead: ({ isHidden }, values) => (isHidden ? undefined : { bound: besideBy(values), rate: 1 }),
  savedAs: { mean: "exp_avg", square: "exp_avg_sq" },
  fixed: () => ({}),
  numbers: (values, { t, lr, decay }) => ({
    shrink: 1 - lr * decay,
    rate: lr,
    ...corrections(values, t),
    unbounded: t === 1 ? 1e30 : 0,
  }),
});
