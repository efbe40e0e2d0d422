/**
 * What a method is that learns from preferences: a loss of pairs of answers, of which one is preferred, or of single
 * answers that are wanted or not. The frame runs the model on both answers of every pair at once and gives their
 * likelihoods, those of the reference beside them.
 *
 * The reference is the model as it was before training. Its likelihoods are computed once, before the first step, so no
 * second model is held.
 */

import type { Message } from "../../data/rows.ts";
import type { Bound } from "../../method/bind.ts";
import type { Options, Values } from "../../method/options.ts";
import type { MethodInfo } from "../../method/registry.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Answers } from "./likelihoods.ts";
import type { PairLoss } from "./pair-loss.ts";

/** What a loss is given. */
export interface PreferenceGiven<O extends Options = Options> {
  readonly chosen: Answers;
  /** Of single answers: each prompt with the answer to another, for the distance to the reference. */
  readonly rejected: Answers;
  /** (P): 1 where a single answer is wanted, 0 where it is not. */
  readonly wanted: Tensor;
  /** (1): mean -log probability per token of the chosen answers, of all in the batch. */
  nll(): Tensor;
  /** (1): the same over prompt and answer. Of a method that says `reads: "whole pairs"`. */
  wholeNll(): Tensor;
  readonly values: Values<O>;
  /** What --pair-loss chose, each with its weight. */
  readonly pairLosses: readonly (Bound<PairLoss> & { readonly weight: number })[];
}

/** What a loss gives. */
export interface PreferenceLoss {
  /** (P): loss of every pair or answer; the mean over the step counts. */
  readonly losses: Tensor;
  /** (P) each: implicit rewards, for the log. */
  readonly rewards: { readonly chosen: Tensor; readonly rejected: Tensor };
  /** (1) each: further numbers to log, means over the batch. */
  readonly metrics?: Readonly<Record<string, Tensor>>;
}

export interface PreferenceMethod<O extends Options = Options> extends MethodInfo<O> {
  readonly kind: "preference";
  /** Rows of two answers each, with the prompt's own tokens or without, or of single answers; pairs when left out. */
  readonly reads?: "pairs" | "whole pairs" | "answers";
  /** Whether it compares with the model as it was. */
  readonly reference: boolean;
  /** Whether --pair-loss chooses the form of its loss; a list is what it takes where the option is not given. */
  readonly pairLosses?: readonly { readonly name: string; readonly weight: number }[];
  /** Whether a message of the assistant counts, of a method that learns from conversations alone. */
  speaks?(values: Values<O>, message: Message): boolean;
  loss(rec: Recorder, given: PreferenceGiven<O>): PreferenceLoss;
  /** What is worth saying of the options before the run. */
  told?(values: Values<O>): string;
  /** Refuses options that do not fit. Throws UserError. */
  check?(values: Values<O>): void;
}

/** Makes a method that learns from preferences. */
export const definePreference = <const O extends Options>(
  method: Omit<PreferenceMethod<O>, "kind">,
): PreferenceMethod<O> => ({ kind: "preference", ...method });
