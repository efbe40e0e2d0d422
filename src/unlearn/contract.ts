/**
 * What an unlearning method is: an objective whose forget term drives knowledge out while a retain term holds the rest, or an edit of
 * weights without an optimizer. A file of this folder that exports `method` is one; `--method npo` is npo.ts.
 *
 * The total is gamma F + alpha R (--forget-weight, --retain-weight). The frame runs the models, averages, adds the retain term and
 * gives what a method needs of the model as it was (theta0).
 */

import type { Log } from "../cli/log.ts";
import type { Batch } from "../data/batch.ts";
import type { Json } from "../json.ts";
import { type Laws, sameClaim } from "../method/laws.ts";
import type { Options, Values } from "../method/options.ts";
import type { ModelSizes } from "../model/architecture.ts";
import type { Model, Recorded } from "../model/model.ts";
import type { Effects } from "../run/tracing/causal-trace.ts";
import type { Recorder } from "../tensor/recorder.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Alternatives } from "./wanted-answers.ts";

/** Rows of logits of the forget set (n, V). */
export interface ForgetRows<O extends Options = Options> {
  readonly logits: Tensor;
  /** theta0's, where the method asks for "logits". */
  readonly reference: Tensor | undefined;
  /** (n) i32; negative: does not count. */
  readonly targets: Tensor;
  readonly values: Values<O>;
}

/** Likelihoods of the forget set's sequences. */
export interface ForgetSequences<O extends Options = Options> {
  /** (B, T): -log probability of every token that counts, else 0. */
  readonly nll: Tensor;
  /** (B): tokens of each sequence that count. */
  readonly lengths: Tensor;
  /** (B): theta0's sum of nll, where the method asks for "likelihoods". */
  readonly reference: Tensor | undefined;
  /** The same sequences answered as they should be, where the method asks for pairs. */
  readonly wanted?: { readonly nll: Tensor; readonly reference: Tensor | undefined };
  readonly values: Values<O>;
}

/** Hidden states, of the forget or of the retain set. */
export interface StatesOf<O extends Options = Options> {
  readonly current: Recorded;
  /** theta0's; of the retain set only. */
  readonly reference: Recorded | undefined;
  readonly part: "forget" | "retain";
  readonly layers: number;
  readonly width: number;
  readonly seed: number;
  readonly values: Values<O>;
}

/** What changes between steps. */
export interface AdaptiveWeights {
  /** Weights of step `step`. */
  weights(step: number): { readonly forget: number; readonly retain: number };
  heard?(metrics: Readonly<Record<string, number>>, step: number): void;
  state(): Json;
  load(state: Json): void;
}

/** What holds for every objective's forget term. */
export const OBJECTIVE_LAWS = {
  gradientIsSlope: "the gradient is the slope of the loss: nothing is held fixed that the model changes",
  forgets: "a small step down the loss makes the rows to forget less likely",
  bounded: "the loss has a lower bound, so that forgetting ends",
  batchesAdd: "micro-batches add up to their batch",
} as const;

export type ObjectiveLaw = keyof typeof OBJECTIVE_LAWS;

/** Claims all laws of an objective. A method names its exceptions after it: `{ ...EVERY_LAW, bounded: "ascent has no end" }`. */
export const EVERY_LAW = sameClaim(OBJECTIVE_LAWS, true);

/** What holds for every edit of weights. */
export const EDIT_LAWS = {
  neverGrows: "no weight grows or changes its sign",
  leavesFrozen: "weights that are not trained keep every bit",
  orderFree: "the order of the batches does not matter",
} as const;

export type EditLaw = keyof typeof EDIT_LAWS;

interface Described<O extends Options> {
  readonly name: string;
  readonly title: string;
  readonly about: string;
  readonly cite: string;
  readonly options: O;
}

export interface UnlearnObjective<O extends Options = Options> extends Described<O> {
  readonly kind: "objective";
  readonly laws: Laws<ObjectiveLaw>;
  /** gamma and alpha when options do not say. */
  readonly weights: { readonly forget: number; readonly retain: number };
  /** Retain term when --retain-loss does not say; nll when left out. */
  readonly retain?: "nll" | "kl" | "states" | "none";
  /** What the forget term asks of theta0. */
  readonly reference?: "likelihoods" | "logits";
  /** What the mean is over: tokens, sequences, or first the tokens of each sequence; tokens when left out. */
  readonly per?: "token" | "sequence" | "sequence-mean";
  /** Tokens at the start of every answer that do not count, unless --skip-tokens says; 0 when left out. */
  readonly skip?: number;
  /** Needs a wanted answer beside every row of the forget set, which the row gives. */
  readonly pairs?: boolean;
  /** Needs wanted answers, which theta0 samples. */
  alternatives?(values: Values<O>): Alternatives;
  /** Loss of every row of logits (n). The mean is over tokens. */
  rows?(rec: Recorder, rows: ForgetRows<O>): Tensor;
  /** Loss of every sequence (B) with `per` "sequence", else of every token (B, T). */
  sequences?(rec: Recorder, given: ForgetSequences<O>): Tensor;
  /** Loss of every position (N) from hidden states, of the forget set, and with retain "states" of the retain set. */
  states?(rec: Recorder, given: StatesOf<O>): Tensor;
  adaptive?(given: {
    readonly values: Values<O>;
    readonly weights: { readonly forget: number; readonly retain: number };
    readonly steps: number;
    readonly perEpoch: number;
  }): AdaptiveWeights;
  /**
   * Weights that are trained, by name, unless --train-only says; all when left out. Where `asks` says so, it hears what causal tracing
   * of rows to forget found.
   */
  trains?(values: Values<O>, found?: Effects): readonly string[];
  asks?(values: Values<O>): boolean;
  /** Refuses options that do not fit the model. Throws UserError. */
  check?(values: Values<O>, sizes: ModelSizes): void;
}

/** What an edit works with. */
export interface EditSetup<O extends Options = Options> {
  readonly model: Model;
  readonly forget: readonly Batch[];
  readonly retain: readonly Batch[];
  readonly values: Values<O>;
  readonly signal: AbortSignal;
  readonly log: Log;
  readonly warn: (text: string) => void;
  /** Called with the share of the work that is done, 0 to 1. */
  readonly done: (share: number) => void;
}

export interface UnlearnEdit<O extends Options = Options> extends Described<O> {
  readonly kind: "edit";
  readonly laws: Laws<EditLaw>;
  /** Whether it can do without --retain under these options. */
  readonly alone?: (values: Values<O>) => boolean;
  /** Changes the model's weights; gives what is to be told. Throws UserError. */
  edit(setup: EditSetup<O>): Promise<Record<string, unknown>>;
}

export type UnlearnMethod = UnlearnObjective | UnlearnEdit;

export const defineObjective = <const O extends Options>(
  method: Omit<UnlearnObjective<O>, "kind">,
): UnlearnObjective<O> => ({
  kind: "objective",
  ...method,
});
export const defineEdit = <const O extends Options>(method: Omit<UnlearnEdit<O>, "kind">): UnlearnEdit<O> => ({
  kind: "edit",
  ...method,
});

declare module "../method/registry.ts" {
  interface Contracts {
    unlearn: UnlearnMethod;
  }
}
