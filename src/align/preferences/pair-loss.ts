/**
 * What a pair loss is: one form of DPO's loss, as a function of how much more the model has come to like each answer
 * than the reference does. Each file of methods/pair-losses/ is one: `--pair-loss hinge` is hinge.ts.
 */
import type { Options, Values } from "../../method/options.ts";
import type { MethodInfo } from "../../method/registry.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";

/** One of the two answers of P pairs. */
export interface ScoredAnswers {
  /** (P): f'(ratio) of the divergence that holds the model to the reference; with reverse KL log p - log p_ref. */
  readonly score: Tensor;
  /** (P): the score divided by the tokens of the answer. */
  readonly meanScore: Tensor;
  /** (P): log p - log p_ref, whatever the divergence. */
  readonly ratio: Tensor;
  /** (P) each: sums that the ratio is made of. */
  readonly logps: Tensor;
  readonly reference: Tensor;
}

export interface PairLossGiven<O extends Options = Options> {
  readonly chosen: ScoredAnswers;
  readonly rejected: ScoredAnswers;
  /** (1) or (P): mean -log probability per token of the chosen answers, of all or of each. */
  nll(): Tensor;
  readonly beta: number;
  readonly values: Values<O>;
}

export interface PairLoss<O extends Options = Options> extends MethodInfo<O> {
  readonly kind: "pair-loss";
  /** Whether it takes the number `REWARD_MEAN`. */
  readonly follows?: true;
  /** Whether it compares pairs with one another, so that it needs a batch of nothing else. */
  readonly acrossPairs?: true;
  /** (P): the loss of every pair. */
  loss(rec: Recorder, given: PairLossGiven<O>): Tensor;
}

export const definePairLoss = <const O extends Options>(loss: Omit<PairLoss<O>, "kind">): PairLoss<O> => ({
  kind: "pair-loss",
  ...loss,
});

/** The number of a step that is the mean reward of all answers in the steps before; 0 in the first. */
export const REWARD_MEAN = "reward_mean";

/** Share of preferences that are taken to be the wrong way round. */
export const LABEL_SMOOTHING = (value: number) =>
  ({
    type: "0 <= number < 0.5",
    default: value,
    help: "share of pairs that are taken to be the wrong way round",
    value: "X",
  }) as const;

declare module "../../method/registry.ts" {
  interface Contracts {
    "pair-loss": PairLoss;
  }
}
