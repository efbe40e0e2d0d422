/** The loss of DPO from likelihoods: gains over the reference, and the forms of loss that --pair-loss adds up. */
import type { Values } from "../../method/options.ts";
import {
  add,
  clamp,
  div,
  exp,
  logSigmoid,
  minimum,
  mul,
  neg,
  scale,
  stopGradient,
  sub,
} from "../../tensor/ops/elementwise.ts";
import { rowSum } from "../../tensor/ops/reduce.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { PreferenceGiven, PreferenceLoss } from "./contract.ts";
import type { DPO } from "./dpo-options.ts";
import type { Answers, Likelihoods } from "./likelihoods.ts";
import type { ScoredAnswers } from "./pair-loss.ts";

type DpoValues = Values<typeof DPO>;

/** Nearer to 1 than this, the alpha divergence is taken as reverse KL. */
const NEAR_ONE = 1e-6;

/** f'(p / p_ref) up to a constant, of the logarithm of the ratio (P). */
function scoreOf(rec: Recorder, ratio: Tensor, { divergence, divergence_alpha: alpha }: DpoValues): Tensor {
  if (divergence === "forward-kl") return neg(rec, exp(rec, neg(rec, ratio)));
  if (divergence === "js") return logSigmoid(rec, ratio);
  if (divergence === "reverse-kl" || Math.abs(alpha - 1) < NEAR_ONE) return ratio;
  return scale(rec, exp(rec, scale(rec, ratio, alpha - 1)), 1 / (alpha - 1));
}

/**
 * (P, T) of 0 and 1: the tokens of an answer beyond the length of the shorter one of its pair. `counts` (P, T) numbers
 * the tokens of the answer from 1.
 */
const beyond = (rec: Recorder, counts: Tensor, shorter: Tensor): Tensor =>
  clamp(rec, sub(rec, counts, rec.reshape(shorter, [shorter.shape[0]!, 1])), 0, 1);

/** Sums of log-likelihoods, of which those beyond the shorter answer weigh `weight`. */
function sumsOf(
  rec: Recorder,
  { tokens, sums }: Likelihoods,
  tail: { readonly counts: Tensor; readonly shorter: Tensor; readonly weight: number } | undefined,
): Tensor {
  if (!tail) return sums;
  const behind = rowSum(rec, mul(rec, tokens, beyond(rec, tail.counts, tail.shorter)));
  return sub(rec, sums, scale(rec, behind, 1 - tail.weight));
}

/** Both answers of the pairs, scored. */
function scored(rec: Recorder, { chosen, rejected, values }: PreferenceGiven<typeof DPO>) {
  const [p, t] = chosen.tokens.shape as [number, number];
  const { tail_weight: weight } = values;
  const shorter = weight === undefined ? undefined : minimum(rec, chosen.lengths, rejected.lengths);
  const side = (answers: Answers, name: string): ScoredAnswers => {
    const tail = shorter && { counts: rec.input(`${name} counts`, [p, t]), shorter, weight: weight! };
    const [logps, reference] = [answers, answers.reference].map((said) => sumsOf(rec, said, tail)) as [Tensor, Tensor];
    const ratio = sub(rec, logps, reference);
    const score = scoreOf(rec, ratio, values);
    return { score, meanScore: div(rec, score, answers.lengths), ratio, logps, reference };
  };
  return { chosen: side(chosen, "chosen"), rejected: side(rejected, "rejected") };
}

/** min(1, p_chosen p_rejected) per token, relative to what the model would say itself: (P), without gradient. */
function wpoWeights(rec: Recorder, sides: readonly Answers[]): Tensor {
  const [chosen, rejected] = sides.map((answers) => {
    // log p - log sum p^2 of every token, where the nll of p^2, normalised, is log sum p^2 - 2 log p
    const adjusted = neg(rec, add(rec, answers.tokens, answers.squaredNll()));
    return div(rec, rowSum(rec, adjusted), answers.lengths);
  });
  const both = add(rec, chosen!, rejected!);
  return stopGradient(rec, exp(rec, clamp(rec, both, -1e3, 0)));
}

/** The loss of DPO. */
export function dpoLoss(rec: Recorder, given: PreferenceGiven<typeof DPO>): PreferenceLoss {
  const { values, pairLosses, nll } = given;
  const { chosen, rejected } = scored(rec, given);
  const parts = pairLosses.map(({ method, values: own, weight }) =>
    scale(rec, method.loss(rec, { chosen, rejected, nll, beta: values.beta, values: own }), weight),
  );
  const losses = parts.reduce((a, b) => add(rec, a, b));
  const weighed = values.wpo ? mul(rec, losses, wpoWeights(rec, [given.chosen, given.rejected])) : losses;
  const reward = ({ ratio }: ScoredAnswers) => scale(rec, ratio, values.beta);
  return { losses: weighed, rewards: { chosen: reward(chosen), rejected: reward(rejected) } };
}
