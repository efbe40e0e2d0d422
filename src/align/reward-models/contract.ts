/**
 * What a method is that trains a reward model: a head on a decoder, and a loss of what the head says of answers. The
 * result is a classifier that transformers reads.
 */
import type { Options, Values } from "../../method/options.ts";
import type { MethodInfo } from "../../method/registry.ts";
import type { ClassHead } from "../../model/decoder-classifier.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";

/** Options of every reward model. */
export const HEAD_OPTIONS = {
  head: {
    type: "'normal' | 'zero'",
    default: "normal",
    help: "how a new head begins: drawn by --seed with the config's initializer_range, or at 0",
  },
} as const satisfies Options;

/** P pairs of answers. */
export interface PairsGiven<V> {
  /** (P, labels): of the answer that is preferred, and of the other. */
  readonly chosen: Tensor;
  readonly rejected: Tensor;
  /** (P): how far apart the row says they are; 0 where it says nothing. */
  readonly margins: Tensor;
  readonly values: V;
}

/** R answers with a number each. */
export interface ScoresGiven<V> {
  /** (R, 1) */
  readonly rewards: Tensor;
  /** (R, 1) */
  readonly scores: Tensor;
  readonly values: V;
}

/** N tokens, of which those that end steps have a class. */
export interface StepsGiven<V> {
  /** (N, labels) */
  readonly logits: Tensor;
  /** (N) i32; negative: no end of a step. */
  readonly targets: Tensor;
  readonly values: V;
}

/** Losses of pairs, answers or tokens (n), and further numbers of them (n), logged as means. */
export interface RewardLoss {
  readonly losses: Tensor;
  readonly metrics: Readonly<Record<string, Tensor>>;
}

interface Common<O extends Options> extends MethodInfo<O> {
  readonly kind: "reward-model";
  /** Labels of the head. */
  labels(values: Values<O>): number;
}

/** By what its rows are. */
export type RewardMethod<O extends Options = Options> = Common<O> &
  (
    | { readonly reads: "pairs"; loss(rec: Recorder, given: PairsGiven<Values<O>>): RewardLoss }
    | { readonly reads: "scores"; loss(rec: Recorder, given: ScoresGiven<Values<O>>): RewardLoss }
    | {
        readonly reads: "steps";
        loss(rec: Recorder, given: StepsGiven<Values<O>>): RewardLoss;
        /** The text after a step, whose last token stands for it. */
        separator(values: Values<O>): string;
      }
  );

/** Which head a method trains. */
export const headOf = ({ reads }: Pick<RewardMethod, "reads">): ClassHead =>
  reads === "steps" ? "tokens" : "sequence";

type Own<O extends Options> = RewardMethod<O> extends infer M ? (M extends unknown ? Omit<M, "kind"> : never) : never;

/** Makes a method that trains a reward model, with the options that all of them have beside its own. */
export const defineRewardModel = <const O extends Options>(method: Own<O>): RewardMethod<O & typeof HEAD_OPTIONS> =>
  ({
    kind: "reward-model",
    ...method,
    options: { ...(method as { options: O }).options, ...HEAD_OPTIONS },
  }) as unknown as RewardMethod<O & typeof HEAD_OPTIONS>;
