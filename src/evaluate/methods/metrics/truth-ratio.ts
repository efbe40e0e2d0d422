/**
 * How much likelier wrong answers are than the right one in the same words. TOFU, Maini et al. 2024,
 * https://arxiv.org/abs/2401.06121
 *
 * Per row TR = P_wrong / (P_right + 1e-10), where P is the exponential of minus a mean loss per token; P_wrong is of the mean
 * loss of the wrong answers. TOFU's own report averages their probabilities instead: the details whose names end in `of means`.
 */
import { defineMetric, type Losses, mean, type ScoredRow } from "../../contract.ts";

export interface Likelihoods {
  readonly right: number;
  readonly wrong: number;
}

const averaged = ({ right, wrong }: Losses): Likelihoods => ({
  right: Math.exp(-mean(right)),
  wrong: Math.exp(-mean(wrong)),
});
const averagedLater = ({ right, wrong }: Losses): Likelihoods => ({
  right: mean(right.map((loss) => Math.exp(-loss))),
  wrong: mean(wrong.map((loss) => Math.exp(-loss))),
});

const truthRatio = ({ right, wrong }: Likelihoods): number => wrong / (right + 1e-10);

/** Of rows to be forgotten: 1 where right and wrong are equally likely. */
export const forgetAggregate = (list: readonly Likelihoods[]): number =>
  mean(list.map(truthRatio).map((ratio) => Math.min(ratio, 1 / ratio)));
/** Of rows to be kept: 1 where only the right answer is likely. */
export const retainAggregate = (list: readonly Likelihoods[]): number =>
  mean(list.map((each) => Math.max(0, 1 - truthRatio(each))));
/** Share of the right answer in the probability of both. */
export const shareAggregate = (list: readonly Likelihoods[]): number =>
  mean(list.map(({ right, wrong }) => (right + wrong > 0 ? right / (right + wrong) : 0.5)));

export const likelihoods = (rows: readonly ScoredRow[], of = averaged): Likelihoods[] =>
  rows.flatMap(({ truth }) => (truth ? of(truth) : []));

/** The ratio of every row that has answers to tell it from. */
export const truthRatios = (rows: readonly ScoredRow[]): number[] => likelihoods(rows).map(truthRatio);

export const method = defineMetric({
  name: "truth-ratio",
  title: "Truth ratio",
  about:
    "mean of min(TR, 1/TR), TR how much likelier perturbed_answer is than paraphrased_answer: 1 on rows that were forgotten; beside it the aggregate for rows to keep",
  cite: "arXiv:2401.06121",
  options: {},
  task: "causal-lm",
  needs: "truth",
  lower: false,
  value: (rows) => forgetAggregate(likelihoods(rows)),
  details(rows) {
    const [losses, means] = [likelihoods(rows), likelihoods(rows, averagedLater)];
    return {
      "retain (max(0, 1 - TR))": retainAggregate(losses),
      "right share": shareAggregate(losses),
      "forget of means": forgetAggregate(means),
      "retain of means": retainAggregate(means),
    };
  },
});
