/**
 * What an unlearning method is: an objective whose forget term drives knowledge out while a retain term holds the rest,
 * an edit of weights without an optimizer, or a training without rows. Each file of methods/ is one: `--method npo` is
 * npo.ts.
 *
 * The total is gamma F + alpha R (--forget-weight, --retain-weight). The frame runs the models, averages and adds the
 * retain term; what else a loss is given comes from the capabilities that its method needs.
 */

import type { TensorEntry } from "../checkpoint/checkpoint.ts";
import type { Batch } from "../data/batch.ts";
import type { Example } from "../data/examples.ts";
import { withCapabilityOptions } from "../method/capability.ts";
import { type Laws, sameClaim } from "../method/laws.ts";
import type { Options, Values } from "../method/options.ts";
import type { MethodInfo } from "../method/registry.ts";
import type { ModelSizes } from "../model/architecture.ts";
import type { Model, Recorded } from "../model/model.ts";
import type { NoiseBatch } from "../run/denoising/noise-source.ts";
import type { Effects } from "../run/tracing/causal-trace.ts";
import type { Adaptive } from "../run/training/adaptive.ts";
import type { ConfigChange } from "../run/training/config-change.ts";
import type { Built, Opened, Work } from "../run/training/technique.ts";
import type { Recorder } from "../tensor/recorder.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { GivenBy, UnlearnCapability } from "./capability.ts";
import type { ErrorNoise } from "./error-noise.ts";
import type { UNLEARN } from "./options.ts";

/** Rows of logits of the forget set (n, V). */
export interface ForgetRows<O extends Options = Options> {
  readonly logits: Tensor;
  /** (n) i32; negative: does not count. */
  readonly targets: Tensor;
  /** theta0's logits of the same rows (n, V), without gradient; for a method that says `original`. */
  original(): Tensor;
  /** Those of a model of the same form that never learnt anything (n, V); for a method that says `untrained`. */
  untrained(): Tensor;
  /** Outputs that are wanted of the same rows (n, V); for a method that says `wanted`. */
  readonly wanted?: (() => Tensor) | undefined;
  readonly values: Values<O>;
}

/** Likelihoods of the forget set's sequences; capabilities add to them. */
export interface ForgetSequences<O extends Options = Options> {
  /** (B, T): -log probability of every token that counts, else 0. */
  readonly nll: Tensor;
  /** (B): tokens of each sequence that count. */
  readonly lengths: Tensor;
  readonly values: Values<O>;
}

/** Hidden states, of the forget or of the retain set. */
export interface StatesOf<O extends Options = Options> {
  readonly current: Recorded;
  /** theta0's; of the retain set only. */
  readonly reference: Recorded | undefined;
  /** theta0's of the twins of the rows to forget, for a method that says `twins`. */
  readonly twin?:
    | {
        readonly states: Recorded;
        /**
         * What stands for each of the batch's positions (N, C) of something that the twins' have; 0 where none does.
         */
        at(x: Tensor): Tensor;
      }
    | undefined;
  readonly part: "forget" | "retain";
  readonly layers: number;
  readonly width: number;
  readonly seed: number;
  readonly values: Values<O>;
}

/** Rows of logits of the retain set (n, V). */
export type RetainRows<O extends Options = Options> = Omit<ForgetRows<O>, "untrained">;

/** Steps in which as many rows of either set go by as there are. */
export interface PassSteps {
  readonly forget: number;
  readonly retain: number;
}

/** How the total weighs its terms. */
export interface TermWeights {
  readonly forget: number;
  readonly retain: number;
}

/** Traces what of the model brings the answers to forget back, on its GPU. */
export type Trace = () => Promise<Effects>;

/** What holds for every objective's forget term. */
export const OBJECTIVE_LAWS = {
  gradientIsSlope: "the gradient is the slope of the loss: nothing is held fixed that the model changes",
  forgets: "a small step down the loss makes the rows to forget less likely",
  bounded: "the loss has a lower bound, so that forgetting ends",
  batchesAdd: "micro-batches add up to their batch",
} as const;

export type ObjectiveLaw = keyof typeof OBJECTIVE_LAWS;

/**
 * Claims all laws of an objective. A method names its exceptions after it: `{ ...EVERY_LAW, bounded: "ascent has no
 * end" }`.
 */
export const EVERY_LAW = sameClaim(OBJECTIVE_LAWS, true);

/** What holds for every edit of weights. */
export const EDIT_LAWS = {
  neverGrows: "no weight grows or changes its sign",
  leavesFrozen: "weights that are not trained keep every bit",
  orderFree: "the order of the batches does not matter",
} as const;

export type EditLaw = keyof typeof EDIT_LAWS;

export interface UnlearnObjective<
  O extends Options = Options,
  N extends readonly UnlearnCapability[] = readonly UnlearnCapability[],
> extends MethodInfo<O> {
  readonly kind: "objective";
  readonly laws: Laws<ObjectiveLaw>;
  /** gamma and alpha when options do not say. */
  readonly weights: TermWeights;
  /** Retain term when --retain-loss does not say; nll when left out. "own" is `keeps`. */
  readonly retain?: "nll" | "kl" | "states" | "own" | "none";
  /** Values of the script's options when they do not say. */
  readonly defaults?: Partial<Pick<Values<typeof UNLEARN>, "skip_tokens">>;
  /** Whether `rows` or `keeps` reads theta0's logits. */
  readonly original?: boolean;
  /** Whether `rows` reads the logits of a model that never learnt anything. */
  readonly untrained?: boolean;
  /** Where noise on which the model errs stands for the rows to forget: how it is made. Of classifiers of numbers. */
  noise?(values: Values<O>): ErrorNoise;
  /** Where `states` compares rows to forget with their twins under theta0: what stands for their subjects there. */
  twins?(values: Values<O>): string;
  /** Whether the rows to forget get other labels, each drawn once at random. */
  readonly relabels?: boolean;
  /**
   * Outputs that `rows` and `keeps` want of rows of numbers, by the digests of rows (data/row-digest.ts), made before
   * any weight is read. Throws UserError.
   */
  wanted?(values: Values<O>, forget: readonly Example[]): Promise<ReadonlyMap<string, Float32Array>>;
  /** What `sequences` is given beside likelihoods. */
  readonly needs?: N;
  /** What the mean is over: tokens, sequences, or first the tokens of each sequence; tokens when left out. */
  readonly per?: "token" | "sequence" | "sequence-mean";
  /** Loss of every row of logits (n). The mean is over tokens. */
  rows?(rec: Recorder, rows: ForgetRows<O>): Tensor;
  /** Loss of every row of logits of the retain set (n), with retain "own". The mean is over tokens. */
  keeps?(rec: Recorder, rows: RetainRows<O>): Tensor;
  /** Loss of every sequence (B) with `per` "sequence", else of every token (B, T). */
  sequences?(rec: Recorder, given: ForgetSequences<O> & GivenBy<N>): Tensor;
  /** Loss of every position (N) from hidden states, of the forget set, and with retain "states" of the retain set. */
  states?(rec: Recorder, given: StatesOf<O>): Tensor;
  /**
   * Changes weights between steps: gives `retain_weight` or `forget_weight`, and numbers that its losses take as
   * dynamic.
   */
  adaptive?(given: {
    readonly values: Values<O>;
    readonly weights: TermWeights;
    readonly steps: number;
    readonly perEpoch: number;
    readonly passes: PassSteps;
  }): Adaptive;
  /**
   * Share of all weights that learns: those of which the labels of the rows to forget, as they were, have the largest
   * gradients. All when left out.
   */
  salient?(values: Values<O>): number;
  /**
   * Weight of the retain term in this very batch (1), from the mean retain loss of the batch (1). No gradient goes
   * through it. `retain_weight` of the step's numbers is one of them, and the only one when left out.
   */
  retainWeight?(rec: Recorder, given: { readonly loss: Tensor; readonly values: Values<O> }): Tensor;
  /**
   * Weights that are trained, by pattern, unless --train-only says; all when left out. A function chooses them by
   * tracing.
   */
  trains?(values: Values<O>): readonly string[] | ((trace: Trace) => Promise<readonly string[]>);
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
  readonly warn: (text: string) => void;
  /** Called with the share of the work that is done, 0 to 1. */
  readonly done: (share: number) => void;
}

/** What is known of an edit before any weight is read. */
export interface EditInputs<O extends Options = Options> {
  readonly ref: string;
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  readonly forget: readonly Batch[];
  readonly values: Values<O>;
}

/** An edit with a state in the file of its model. */
export interface OpenedEdit<O extends Options = Options> {
  /** The state as it is written: shapes as of now, values as they are when they are read. */
  readonly beside: readonly TensorEntry[];
  /** As `edit` of the method. */
  edit(setup: EditSetup<O>): Promise<Record<string, unknown>>;
}

export interface UnlearnEdit<O extends Options = Options> extends MethodInfo<O> {
  readonly kind: "edit";
  readonly laws: Laws<EditLaw>;
  /** Whether it can do without --retain under these options. */
  readonly alone?: (values: Values<O>) => boolean;
  /** Rows of a batch whose gradient it measures; --batch-size when left out. */
  rows?(values: Values<O>): number | undefined;
  /** Changes the model's weights; gives the result for machines. Throws UserError. */
  edit?(setup: EditSetup<O>): Promise<Record<string, unknown>>;
  /** In place of `edit`, for one that reads a state beside the weights and writes it anew. Throws UserError. */
  open?(inputs: EditInputs<O>): Promise<OpenedEdit<O>>;
}

/** A training that reads no rows: its batches are noise, drawn by seed and step. */
export interface UnlearnDataFree<O extends Options = Options> extends MethodInfo<O> {
  readonly kind: "data-free";
  /** The config of the result, made of the model's. */
  changed?(values: Values<O>): ConfigChange;
  /** Throws UserError for a model that does not fit. */
  check(values: Values<O>, opened: Opened): void;
  /** What is trained. */
  work(given: { readonly built: Built; readonly values: Values<O>; readonly seed: number }): Promise<Work<NoiseBatch>>;
}

export type UnlearnMethod = UnlearnObjective | UnlearnEdit | UnlearnDataFree;

/** Makes an objective: its own options, and those of the capabilities that it needs. */
export const defineObjective = <const O extends Options, const N extends readonly UnlearnCapability[] = []>(
  method: Omit<UnlearnObjective<O, N>, "kind">,
): UnlearnObjective<O, N> => withCapabilityOptions({ kind: "objective", ...method });

export const defineEdit = <const O extends Options>(method: Omit<UnlearnEdit<O>, "kind">): UnlearnEdit<O> => ({
  kind: "edit",
  ...method,
});

export const defineDataFree = <const O extends Options>(
  method: Omit<UnlearnDataFree<O>, "kind">,
): UnlearnDataFree<O> => ({ kind: "data-free", ...method });

declare module "../method/registry.ts" {
  interface Contracts {
    unlearn: UnlearnMethod;
  }
}
