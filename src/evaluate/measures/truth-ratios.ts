/**
 * How much likelier wrong answers are than the right one in the same words: TR = P_wrong / (P_right + 1e-10), where P
 * is the exponential of minus a mean loss per token. TOFU, Maini et al. 2024, https://arxiv.org/abs/2401.06121
 */
import type { AnswerLosses, ScoredRow } from "../../run/scoring/scored-row.ts";
import { mean } from "./means.ts";

/** Probabilities of the right answer and of the wrong ones together. */
export interface Likelihoods {
  readonly right: number;
  readonly wrong: number;
}

/** Of the mean loss of the answers, as the paper has it. */
export const ofMeanLoss = ({ right, wrong }: AnswerLosses): Likelihoods => ({
  right: Math.exp(-mean(right)),
  wrong: Math.exp(-mean(wrong)),
});

/** The mean of the answers' probabilities, as TOFU's own report has it. */
export const meanLikelihood = ({ right, wrong }: AnswerLosses): Likelihoods => ({
  right: mean(right.map((loss) => Math.exp(-loss))),
  wrong: mean(wrong.map((loss) => Math.exp(-loss))),
});

/** Likelihoods of every row that has answers to compare. */
export const likelihoods = (rows: readonly ScoredRow[], of = ofMeanLoss): Likelihoods[] =>
  rows.flatMap(({ truth }) => (truth ? of(truth) : []));

const truthRatio = ({ right, wrong }: Likelihoods): number => wrong / (right + 1e-10);

/** The ratio of every row that has answers to compare. */
export const truthRatios = (rows: readonly ScoredRow[]): number[] => likelihoods(rows).map(truthRatio);

/** Of rows to be forgotten: 1 where right and wrong answers are equally likely. */
export const forgetAggregate = (list: readonly Likelihoods[]): number =>
  mean(list.map(truthRatio).map((ratio) => Math.min(ratio, 1 / ratio)));

/** Of rows to be kept: 1 where only the right answer is likely. */
export const retainAggregate = (list: readonly Likelihoods[]): number =>
  mean(list.map((each) => Math.max(0, 1 - truthRatio(each))));

/** Share of the right answer in the probability of right and wrong. */
export const shareAggregate = (list: readonly Likelihoods[]): number =>
  mean(list.map(({ right, wrong }) => (right + wrong > 0 ? right / (right + wrong) : 0.5)));
