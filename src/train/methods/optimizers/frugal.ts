/**
 * AdamW on a part of every matrix's gradient that is chosen anew every so many steps, and signs or plain descent,
 * without states, on the rest. Zmushko et al. 2024, https://arxiv.org/abs/2411.07837. Embeddings, heads and vectors are
 * trained by AdamW. Blocks take turns in a fixed order (the paper's code draws them), so that those of one turn share
 * the memory of the others'; with `--frugal-rest none` they are BAdam (Luo et al. 2024,
 * https://arxiv.org/abs/2404.02827).
 */
import { UserError } from "../../../errors.ts";
import {
  defineOptimizer,
  EVERY_OPTIMIZER_LAW,
  type RuleGiven,
  type StateShape,
} from "../../../run/training/optimizer.ts";
import { add, isPositive, neg, scale, sub } from "../../../tensor/ops/elementwise.ts";
import { leadingRows, MOST_ROWS } from "../../../tensor/ops/orthonormal-rows.ts";
import { putPlaces, takePlaces } from "../../../tensor/ops/places.ts";
import type { Recorder } from "../../../tensor/recorder.ts";
import { sizeOf, type Tensor } from "../../../tensor/tensor.ts";
import { ADAMW_OPTIONS, adamStep, besideBy, corrections } from "../../adamw.ts";
import { lift, normalsOf, project, projectedShape, type Sides, sidesOf } from "../../projection.ts";

/** Rounds of the iteration that finds a subspace. */
const ITERATIONS = 3;

const OPTIONS = {
  ...ADAMW_OPTIONS,
  frugal_density: { type: "0 <= number <= 1", default: 0.25, help: "share that has states", value: "X" },
  frugal_split: {
    type: "'block' | 'columns' | 'randk' | 'svd'",
    default: "block",
    help: "what has states: whole matrices in turn, columns, values, or leading directions",
  },
  frugal_every: { type: "number.integer >= 1", default: 200, help: "steps from one choice to the next", value: "N" },
  frugal_rest: {
    type: "'sign' | 'sgd' | 'none'",
    default: "sign",
    help: "how the rest moves: by signs, along the gradient, or not at all",
  },
  frugal_rest_rate: {
    type: "number > 0",
    default: 1,
    help: "the rest's rate, times --lr; 0.1 for fine-tuning",
    value: "X",
  },
} as const;

type Given = RuleGiven<typeof OPTIONS>;
type FrugalValues = Given["values"];

type Split = "block" | "columns" | "randk" | "svd";
type Asked = { readonly frugal_split: Split; readonly frugal_density: number };

/** Blocks that take turns. Throws UserError where a density is not one of so many. */
function blocksOf({ frugal_density: density }: Asked): number {
  const blocks = Math.round(1 / density);
  if (Math.abs(blocks * density - 1) > 1e-6)
    throw new UserError(
      `--frugal-density ${density}: blocks take turns, one of so many at a time`,
      "take 1, 0.5, 0.25 or another 1/n, or another --frugal-split",
    );
  return blocks;
}

const turnsOf = (asked: Asked): number =>
  asked.frugal_split === "block" && asked.frugal_density > 0 ? blocksOf(asked) : 1;

/** Coordinates that are chosen, of all: columns, or values. */
function chosenOf(shape: readonly number[], { frugal_split: split, frugal_density: density }: Asked) {
  const of = split === "columns" ? (shape.at(-1) ?? 1) : sizeOf(shape);
  return { of, count: Math.round(density * of) };
}

/** The subspace of a matrix; its rank is 0 for a density that gives less than half a direction. */
function subspaceOf(shape: readonly number[], { frugal_density }: Asked): Sides {
  const { small } = sidesOf(shape, 1);
  const rank = Math.round(frugal_density * small);
  if (rank > MOST_ROWS)
    throw new UserError(
      `--frugal-density ${frugal_density}: ${rank} directions of a matrix; ${MOST_ROWS} at most`,
      "lower it, or take --frugal-split columns",
    );
  return sidesOf(shape, rank);
}

/** `count` of the numbers from 0 to `of`, in their order, each set of so many as likely as any other. */
export function chosenPlaces(count: number, of: number, unit: () => number): Uint32Array<ArrayBuffer> {
  const chosen = new Uint32Array(count);
  let taken = 0;
  for (let i = 0; i < of && taken < count; i++) if (unit() * (of - i) < count - taken) chosen[taken++] = i;
  return chosen;
}

export const method = defineOptimizer({
  name: "frugal",
  title: "FRUGAL",
  about: "AdamW on a changing part of every gradient, signs without states on the rest",
  cite: "arXiv:2411.07837",
  laws: EVERY_OPTIMIZER_LAW,
  options: OPTIONS,
  rule: {
    states({ shape }, values): Record<string, StateShape> {
      const { frugal_split: split, frugal_density: density } = values;
      if (density === 0) return {};
      if (split === "block") return blocksOf(values) > 0 ? { mean: shape, square: shape } : {};
      if (split === "svd") {
        const sides = subspaceOf(shape, values);
        if (sides.rank === 0) return {};
        const small = projectedShape(sides);
        return { basis: [sides.rank, sides.small], mean: small, square: small };
      }
      const { of, count } = chosenOf(shape, values);
      if (count === 0) return {};
      const chosen = [sizeOf(shape) / of, count];
      return { place: { words: [count] }, mean: chosen, square: chosen };
    },
    record(rec, given) {
      const { gradient, states, values } = given;
      if (states.mean === undefined) return { update: restOf(rec, gradient, values), states: {} };
      if (values.frugal_split === "block") return inTurns(rec, given);
      if (values.frugal_split === "svd") return inSubspace(rec, given);
      const { of } = chosenOf(gradient.shape, values);
      const flat = rec.reshape(gradient, [sizeOf(gradient.shape) / of, of]);
      const active = activeStep(rec, given, takePlaces(rec, flat, states.place!));
      const update = restOf(rec, flat, values);
      putPlaces(rec, active.update, states.place!, update);
      return { update: rec.reshape(update, gradient.shape), states: active.states };
    },
  },
  refresh: {
    every: ({ frugal_every }) => frugal_every,
    fill({ shape }, values, unit): Record<string, Float32Array | Uint32Array<ArrayBuffer>> {
      const { frugal_split: split, frugal_density: density } = values;
      if (split === "block" || density === 0) return {};
      if (split === "svd") {
        const { rank, small } = subspaceOf(shape, values);
        return rank === 0 ? {} : { basis: normalsOf(rank * small, 1, unit) };
      }
      const { of, count } = chosenOf(shape, values);
      return count === 0 ? {} : { place: chosenPlaces(count, of, unit) };
    },
    record(rec, { gradient, states, values }): Record<string, Tensor> {
      if (states.basis === undefined) return {};
      const { left } = subspaceOf(gradient.shape, values);
      return { basis: leadingRows(rec, gradient, states.basis, { left, iterations: ITERATIONS }) };
    },
  },
  turns: turnsOf,
  instead: ({ isHidden }, values) => (isHidden ? undefined : { bound: besideBy(values), rate: 1 }),
  savedAs: { mean: "exp_avg", square: "exp_avg_sq" },
  fixed: () => ({}),
  numbers(values, { t, lr, decay, turn = 0 }) {
    const { beta1, beta2, frugal_density: density, frugal_every: every } = values;
    // With all of it chosen there is nothing to choose anew.
    const [choice, age] = density === 1 ? [0, t] : [Math.floor((t - 1) / every), ((t - 1) % every) + 1];
    const isActive = choice % turnsOf(values) === turn;
    return {
      shrink: 1 - lr * decay,
      rate: lr,
      ...corrections(values, age),
      keep1: age === 1 ? 0 : beta1,
      keep2: age === 1 ? 0 : beta2,
      active: isActive ? 1 : 0,
      idle: isActive ? 0 : 1,
    };
  },
});

/** The step of what has no states. */
function restOf(rec: Recorder, gradient: Tensor, { frugal_rest: rest, frugal_rest_rate: rate }: FrugalValues): Tensor {
  if (rest === "none") return scale(rec, gradient, 0);
  const step = rest === "sgd" ? gradient : sub(rec, isPositive(rec, gradient), isPositive(rec, neg(rec, gradient)));
  return scale(rec, step, rate);
}

/** AdamW's step of what has states. */
const activeStep = (rec: Recorder, { states, number, values }: Given, gradient: Tensor) =>
  adamStep(rec, gradient, { mean: states.mean!, square: states.square! }, values, {
    keep1: number("keep1"),
    keep2: number("keep2"),
    correction1: number("correction1"),
    correction2: number("correction2"),
  });

/** The whole matrix in its turn, with states that it shares with others. */
function inTurns(rec: Recorder, given: Given): { update: Tensor; states: Record<string, Tensor> } {
  const { gradient, states, number, values } = given;
  const active = activeStep(rec, given, gradient);
  if (turnsOf(values) === 1) return active;
  const either = (now: Tensor, other: Tensor) =>
    add(rec, scale(rec, now, number("active")), scale(rec, other, number("idle")));
  return {
    update: either(active.update, restOf(rec, gradient, values)),
    states: {
      mean: either(active.states.mean, states.mean!),
      square: either(active.states.square, states.square!),
    },
  };
}

/** Leading directions, and what is left beside them. */
function inSubspace(rec: Recorder, given: Given): { update: Tensor; states: Record<string, Tensor> } {
  const { gradient, states, values } = given;
  const sides = subspaceOf(gradient.shape, values);
  const projected = project(rec, gradient, states.basis!, sides);
  const active = activeStep(rec, given, projected);
  const lifted = lift(rec, active.update, states.basis!, sides);
  if (sides.rank === sides.small || values.frugal_rest === "none") return { ...active, update: lifted };
  const left = sub(rec, gradient, lift(rec, projected, states.basis!, sides));
  return { ...active, update: add(rec, lifted, restOf(rec, left, values)) };
}
