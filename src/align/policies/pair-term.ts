/**
 * Pairs beside a policy's own loss: the best and the worst answer to each prompt are told apart by losses of
 * preferences, so that one update learns from rewards both as credit and as a choice.
 */
import type { Bound } from "../../method/bind.ts";
import { add, clamp, div, isPositive, mul, neg, scale, stopGradient, sub } from "../../tensor/ops/elementwise.ts";
import { dot, rowSum } from "../../tensor/ops/reduce.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { PairLoss, ScoredAnswers } from "../preferences/pair-loss.ts";
import { differs, groupsIn } from "./advantages.ts";
import type { Rewarded, SharedValues } from "./contract.ts";
import type { HeldAnswer } from "./held-rollout.ts";

/** A form of the loss of pairs, with what it weighs. */
export type WeighedPairLoss = Bound<PairLoss> & { readonly weight: number };

/** Places of the best and the worst of rewards; none where all are alike. */
export function extremes(rewards: Float64Array): number[] {
  if (!differs(rewards)) return [];
  const places = [...rewards.keys()];
  return [
    places.reduce((best, i) => (rewards[i]! > rewards[best]! ? i : best)),
    places.reduce((worst, i) => (rewards[i]! < rewards[worst]! ? i : worst)),
  ];
}

/** 1 of the best answer of each group, -1 of the worst, 0 of all others and of groups that are worth the same. */
export const pairsOf = ({ rewards, group }: Pick<Rewarded, "rewards" | "group">): (1 | -1 | 0)[] =>
  groupsIn(rewards, group).flatMap((own) => {
    const [best, worst] = extremes(own);
    return Array.from(own, (_, i) => (i === best ? 1 : i === worst ? -1 : 0));
  });

/** Which answers of a micro-batch are pairs, and what each counts. */
export interface PairPlaces {
  /** (B) 1 of the better answers of pairs, and of the worse ones. */
  readonly best: Float32Array;
  readonly worst: Float32Array;
  /** (P) 1 / pairs of the update for each group of answers that has one, 0 for others. */
  readonly pairs: Float32Array;
}

/** Of a micro-batch of an update, whose answers stand in whole groups. A pair of which one does not count is none. */
export function pairPlaces(micro: readonly (readonly HeldAnswer[])[], own: number, group: number): PairPlaces {
  const whole = micro.map((answers) =>
    Array.from({ length: answers.length / group }, (_, g) => {
      const both = answers.slice(g * group, (g + 1) * group).filter(({ pair, uncounted }) => pair && !uncounted);
      return both.length === 2;
    }),
  );
  const all = Math.max(1, whole.flat().filter(Boolean).length);
  const has = whole[own]!;
  const side = (which: 1 | -1) =>
    Float32Array.from(micro[own]!, ({ pair }, i) => Number(has[Math.floor(i / group)] && pair === which));
  return { best: side(1), worst: side(-1), pairs: Float32Array.from(has, (is) => (is ? 1 / all : 0)) };
}

/** Losses (P) of the pairs of a micro-batch, with their weights (P) and what is told of them. */
export function recordPairs(
  rec: Recorder,
  given: {
    /** (B, T) each; 0 where no token counts. */
    readonly logProbs: Tensor;
    readonly reference: Tensor;
    /** (B, 1) */
    readonly lengths: Tensor;
    readonly losses: readonly WeighedPairLoss[];
    readonly values: Pick<SharedValues, "group" | "pair_beta" | "pair_weight">;
  },
): { readonly losses: Tensor; readonly weights: Tensor; readonly told: Readonly<Record<string, Tensor>> } {
  const { logProbs, reference, lengths, losses, values } = given;
  const { group, pair_beta: beta, pair_weight: weight } = values;
  const [rows] = logProbs.shape as [number];
  const grouped = [rows / group, group];
  const sums = [logProbs, reference, lengths].map((x) => rec.reshape(rowSum(rec, x), grouped)) as [
    Tensor,
    Tensor,
    Tensor,
  ];
  const side = (name: "best" | "worst"): ScoredAnswers & { readonly meanLogp: Tensor } => {
    const which = rec.reshape(rec.input(name, [rows]), grouped);
    const [logps, theirs, tokens] = sums.map((x) => rowSum(rec, mul(rec, x, which))) as [Tensor, Tensor, Tensor];
    // A group without a pair has no tokens here, and weighs nothing.
    const counted = clamp(rec, tokens, 1, Number.MAX_SAFE_INTEGER);
    const ratio = sub(rec, logps, theirs);
    const meanScore = div(rec, ratio, counted);
    return { score: ratio, meanScore, ratio, logps, reference: theirs, meanLogp: div(rec, logps, counted) };
  };
  const [chosen, rejected] = [side("best"), side("worst")];
  const parts = losses.map(({ method, values: own, weight: share }) =>
    scale(rec, method.loss(rec, { chosen, rejected, beta, nll: () => neg(rec, chosen.meanLogp), values: own }), share),
  );
  const all = scale(
    rec,
    parts.reduce((a, b) => add(rec, a, b)),
    weight,
  );
  const weights = rec.input("pairs", [rows / group]);
  const mean = (x: Tensor) => dot(rec, stopGradient(rec, x), weights);
  const rewards = [chosen, rejected].map(({ ratio }) => scale(rec, ratio, beta)) as [Tensor, Tensor];
  const told = {
    pair_loss: mean(all),
    reward_chosen: mean(rewards[0]),
    reward_rejected: mean(rewards[1]),
    pair_margin: mean(sub(rec, ...rewards)),
    pairs: rowSum(rec, rec.reshape(isPositive(rec, weights), [1, rows / group])),
  };
  return { losses: all, weights, told };
}
