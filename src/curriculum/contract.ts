/**
 * What curriculum methods are: a sampler over groups of data, an ordering of rows, or a selector of rows. Every file of
 * methods/ exports `method`, one of them; `--method skill-it` is methods/samplers/skill-it.ts.
 *
 * All are functions of a small state and of what they hear. They know nothing of the trained model, so they can be
 * tried without one.
 */
import type { Gpu } from "../gpu/gpu.ts";
import type { Laws } from "../method/laws.ts";
import type { Options, Values } from "../method/options.ts";
import type { MethodInfo } from "../method/registry.ts";
import type { Stateful } from "../method/stateful.ts";
import type { RowFigures } from "../run/scoring/row-figures.ts";

/** What a curriculum method says of itself; O are its options, L the laws of its kind. */
interface CurriculumMethod<O extends Options, L extends string> extends MethodInfo<O> {
  readonly laws: Laws<L>;
  /**
   * Settings that the laws are tried with; the defaults alone when left out. Samplers are tried on groups named a, b, c
   * and d.
   */
  readonly trials?: readonly Partial<Values<O>>[];
}

/** A group of data, as a sampler knows it. */
export interface GroupSize {
  readonly name: string;
  readonly rows: number;
  readonly tokens: number;
}

/** What a sampler may know before the first step. */
export interface SamplerSetup<O extends Options = Options> {
  readonly groups: readonly GroupSize[];
  /** Optimizer steps of the whole training. */
  readonly steps: number;
  readonly seed: number;
  readonly values: Values<O>;
  /** For samplers that need it. */
  readonly gpu?: Gpu;
  /** Stages in which the adapter is trained; 1 when left out. */
  readonly stages?: number;
}

/** The gradient g of a group's loss beside t, that of the held-out rows that are aimed at; NaN where none is known. */
export interface GroupAlignment {
  /** <g, t> */
  readonly product: number;
  /** |g| */
  readonly norm: number;
}

/** What a sampler hears when a segment is over. Entries are NaN where nothing is known. */
export interface Feedback {
  /** Steps done in all. */
  readonly step: number;
  /** Held-out loss of every group, nats per token; for samplers that need "losses". */
  readonly losses?: readonly number[];
  /** Mean training loss of every group over the segment; for samplers that need "training". */
  readonly training?: readonly number[];
  /** How the gradients of groups agree with that of held-out rows now; for samplers that need "alignments". */
  readonly alignments?: readonly GroupAlignment[];
  /** Rows of each group that were drawn in the segment. */
  readonly drawn: readonly number[];
}

/** Steps under one mixture. */
export interface Segment {
  /** Shares in which groups are drawn; they sum to 1. */
  readonly probs: readonly number[];
  /** Steps until the sampler wants to hear. 0: now, before any training, at the start only. Infinity: never again. */
  readonly steps: number;
  /** Of every group, how many of its rows are drawn from, the same ones every time; all where it is undefined. */
  readonly rows?: readonly (number | undefined)[];
  /** Weight of every group in the loss, of its tokens or of its mean as the task loss has it; all 1 when left out. */
  readonly weights?: readonly number[];
}

/** Decides what is drawn, and learns from what it hears. Its state is JSON, small, and resumes exactly. */
export interface Sampler extends Stateful {
  /** The current segment. Called at the start and after every `update`; two calls in a row give the same. */
  segment(): Segment;
  /** Called when the steps of the segment are done. */
  update(feedback: Feedback): void | Promise<void>;
  /** Steps of stages in which the learning-rate schedule begins anew each time; one schedule when left out. */
  readonly restarts?: readonly number[];
  /** The stage in which the adapter is trained, from 1, for samplers that decide it. */
  stage?(): number;
  /** What is worth a line in the log: a matrix, a score. */
  notes?(): Record<string, unknown>;
  /** Frees what it holds on the GPU. */
  free?(): void;
}

/**
 * What a sampler may claim besides what all samplers promise (a mixture at every step whatever is heard, also where a
 * group is never heard of; a state that resumes; with one group, all of it):
 *
 *   keepsEveryGroup  no group's share ever falls to 0
 *   followsLosses    shares or weights move with the losses that are heard
 *   anyGroupOrder    groups given in another order get the same shares
 *   shiftInvariant   a constant added to all losses changes nothing
 *   stepZero         with eta 0 the first mixture stays
 */
export type SamplerLaw = "keepsEveryGroup" | "followsLosses" | "anyGroupOrder" | "shiftInvariant" | "stepZero";

/** How rows are made of what a model itself answers to rows of a batch; they join the batch. */
export interface AskBack {
  /** Probability that a row is answered. */
  readonly share: number;
  /** The row to a prompt and what was written behind it; undefined for prompts that it is not for. */
  row(prompt: string, written: string): { readonly prompt: string; readonly completion: string } | undefined;
  /** What rows must be there, and what makes them, where none is. */
  readonly wants: string;
  readonly hint: string;
}

/** What the weights of groups are for: a mean over tokens, over rows, or first within each group (objective.ts). */
export type TaskLoss = "token-mean" | "sample-mean" | "task-token-mean" | "task-sample-mean" | "task-focal";

export type SamplerNeed = "losses" | "training" | "alignments" | "gpu";

export interface SamplerMethod<O extends Options = Options> extends CurriculumMethod<O, SamplerLaw> {
  /** What it must hear: held-out losses, training losses, or alignments; and the GPU, for a model of its own. */
  readonly needs?: readonly SamplerNeed[];
  /** Rows that are made of what the model answers to drawn ones; none when left out. */
  asksBack?(values: Values<O>): AskBack;
  /** What its weights are for, unless --task-loss says otherwise; "token-mean" when left out. */
  readonly taskLoss?: TaskLoss;
  /** Throws UserError when the options do not fit together or the number of groups is wrong. */
  make(setup: SamplerSetup<O>): Sampler;
}

/** What an ordering may know of the rows. */
export interface OrderingSetup<O extends Options = Options> {
  /** Tokens of every row. */
  readonly lengths: ArrayLike<number>;
  /**
   * Mean loss of every row, NaN where no token counts: at the start, or now with needs "live". Empty for orderings
   * without needs.
   */
  readonly scores: ArrayLike<number>;
  /** Share of the training that is done, 0 to 1. */
  readonly done: number;
  /** Passes (as the ordering counts them) that are over. */
  readonly epoch: number;
  readonly seed: number;
  readonly values: Values<O>;
}

/**
 * What an ordering may claim besides what all orderings promise (rows of the data, none twice in a pass, at least one;
 * the same for the same seed, another order for another):
 *
 *   ordinaryOrder  rows come in the order of the ordinary epoch of that seed and number, so a pass over all rows is
 *     that epoch
 *   easiestFirst   the first pass has rows of lower loss than the data on average
 *   unknownLast    rows without a loss are left out while there are enough others
 *   allInTheEnd    the last pass goes through all rows
 */
export type OrderingLaw = "ordinaryOrder" | "easiestFirst" | "unknownLast" | "allInTheEnd";

/** Square images that a model takes: the side of its own, what sides are multiples of, and the least of them. */
export interface ImageSides {
  readonly full: number;
  readonly multiple: number;
  readonly least: number;
}

/** What the images of a batch look like. */
export interface ImageLook {
  /** One of `ImageSides`. */
  readonly side: number;
  readonly crop: "fourier" | "resize";
  /** Of each augmentation, 0 to 1. */
  readonly amount: number;
  /** Augmentations of an image. */
  readonly operations: number;
}

/** How images are augmented by a policy that learns. */
export interface LearnedAugmenting {
  /** An image is augmented with probability tanh(t / tau), t the share of the training that is done; 0: always. */
  readonly tau: number;
  /** Operations of an augmented image. */
  readonly operations: number;
  /** Whether the policy learns; it draws any operation where it does not. */
  readonly learns: boolean;
  /** Steps between two lessons. */
  readonly every: number;
  readonly lr: number;
  readonly hidden: number;
}

export interface OrderingMethod<O extends Options = Options> extends CurriculumMethod<O, OrderingLaw> {
  /** "scores": losses of rows at the start, once. "live": of the current model before every pass. */
  readonly needs?: "scores" | "live";
  /** Shares of the rows in the passes that make up so many epochs, where they are known before the training. */
  passes?(epochs: number, values: Values<O>): readonly number[];
  /**
   * Refuses options that do not fit together, or rows of these numbers of tokens, before any weight is read. Throws
   * UserError.
   */
  check?(values: Values<O>, lengths: ArrayLike<number>): void;
  /**
   * What images look like when a share of the training is done, of models that take smaller ones. Throws UserError for
   * options that do not fit.
   */
  images?(sides: ImageSides, values: Values<O>): (done: number) => ImageLook;
  /** How images are augmented in ways that are learnt from held-out rows. */
  augments?(values: Values<O>): LearnedAugmenting;
  /** Rows of one pass, in the order in which they are trained on. */
  rows(setup: OrderingSetup<O>): Uint32Array;
}

/** What a selector may go by; each list has an entry per row, and is empty unless the selector needs it. */
export interface RowEvidence {
  /** Losses in nats per token, or norms of gradients; NaN where unknown. */
  readonly scores: ArrayLike<number>;
  /**
   * Means of the last hidden states, all equally long; of a classifier softmax - onehot, the gradient of the loss to
   * its logits.
   */
  readonly states: readonly Float64Array[];
  /** Sketches of the gradients of the rows' losses (run/scoring/gradient-sketches.ts); NaN where unknown. */
  readonly sketches: readonly Float64Array[];
  /** The rows' token ids. */
  readonly tokens: readonly ArrayLike<number>[];
  /** How hard and how sure rows are, with their sketches. */
  readonly figures: readonly SelectorFigures[];
  /** The rows' classes, whatever is needed; of a classifier. */
  readonly labels: readonly number[];
}

/** Loss, entropy and EL2N of a row (run/scoring/row-figures.ts), and the norm of its gradient's sketch. */
export interface SelectorFigures extends RowFigures {
  readonly norm: number;
}

/** What of `RowEvidence` is measured; losses and norms are both `scores`. */
export type SelectorNeed = "losses" | "norms" | "states" | "sketches" | "tokens" | "figures";

/** What a selector may know of the rows. */
export interface SelectorSetup<O extends Options = Options> extends RowEvidence {
  /** The same of the rows that are aimed at, a set for each name of --target; empty for selectors without `target`. */
  readonly targets: readonly RowEvidence[];
  /** Rows to keep, at least 1 and at most all. */
  readonly budget: number;
  readonly seed: number;
  readonly values: Values<O>;
}

/**
 * What a selector may claim besides what all selectors promise (exactly `budget` rows, none twice; the same for the
 * same seed):
 *
 *   anyRowOrder  rows given in another order give the same choice
 *   unknownLast  rows of unknown score come after all others
 *   nested       a larger budget keeps what a smaller one chose
 */
export type SelectorLaw = "anyRowOrder" | "unknownLast" | "nested";

/** A way to choose rows: `curriculum select --select-by NAME`. */
export interface SelectorMethod<O extends Options = Options> extends CurriculumMethod<O, SelectorLaw> {
  readonly needs: SelectorNeed;
  /** Whether it asks for rows that are aimed at (--target). */
  readonly target?: true;
  /** Positions of `budget` rows, the best first; figures for the log; and what each counts in a training (--weigh). */
  select(setup: SelectorSetup<O>): {
    readonly rows: readonly number[];
    readonly notes?: Record<string, unknown>;
    /** Of the chosen rows, in their order. */
    readonly weights?: readonly number[];
  };
  /** Whether it gives weights. */
  readonly weighs?: true;
}

/** Declares a sampler and infers the types of its options. */
export const defineSampler = <const O extends Options>(method: SamplerMethod<O>): SamplerMethod<O> => method;
/** Declares an ordering and infers the types of its options. */
export const defineOrdering = <const O extends Options>(method: OrderingMethod<O>): OrderingMethod<O> => method;
/** Declares a selector and infers the types of its options. */
export const defineSelector = <const O extends Options>(method: SelectorMethod<O>): SelectorMethod<O> => method;

declare module "../method/registry.ts" {
  interface Contracts {
    curriculum: SamplerMethod | OrderingMethod;
    selector: SelectorMethod;
  }
}
