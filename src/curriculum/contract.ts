/**
 * What a curriculum method is: a sampler over groups of data, or an order of rows. A file of this folder that exports `sampler`
 * or `ordering` is one; `--method skill-it` is skill-it.ts.
 *
 * Both are functions of a small state and of what they are told, and know nothing of models: they can be tried without one.
 */
import type { Json } from "../json.ts";
import type { Options, Values } from "../method/options.ts";
import type { MethodInfo } from "../method/registry.ts";
import type { TaskLoss } from "./objective.ts";

/** What a sampler may know before the first step. */
export interface SamplerSetup<O extends Options = Options> {
  readonly groups: readonly { readonly name: string; readonly rows: number; readonly tokens: number }[];
  readonly steps: number;
  readonly seed: number;
  readonly values: Values<O>;
  /** Row i: how much training on group i helps group j; from --graph. */
  readonly graph?: readonly (readonly number[])[];
}

/** What a sampler hears when a segment is over. Entries are NaN where nothing is known. */
export interface Feedback {
  /** Steps done in all. */
  readonly step: number;
  /** Held-out loss of every group, nats per token; for samplers that need "losses". */
  readonly losses?: readonly number[];
  /** Mean training loss of every group over the segment; for samplers that need "training". */
  readonly training?: readonly number[];
  /** Rows of each group that were drawn in the segment. */
  readonly drawn: readonly number[];
}

/** Steps under one mixture. */
export interface Segment {
  /** Shares in which groups are drawn; they sum to 1. */
  readonly probs: readonly number[];
  /** Steps until the sampler wants to hear. 0: now, before any training, at the start only. Infinity: never again. */
  readonly steps: number;
  /** Weight of every group in the loss, of its tokens or of its mean as the task loss has it; all 1 when left out. */
  readonly weights?: readonly number[];
}

export interface Sampler {
  /** What is to happen now. Called at the start, and after every `update`; asking twice gives the same. */
  segment(): Segment;
  /** Called when the steps of the segment are done. */
  update(feedback: Feedback): void;
  /** All that `load` needs to go on, as JSON. */
  state(): Json;
  load(state: Json): void;
  /** What is worth a line in the log: a matrix, a score. */
  notes?(): Record<string, unknown>;
}

export interface SamplerMethod<O extends Options = Options> {
  readonly name: string;
  readonly title: string;
  readonly about: string;
  readonly cite: string;
  readonly options: O;
  /** What it must hear. */
  readonly needs?: "losses" | "training";
  /** What its weights are for, unless --task-loss says otherwise; "token-mean" when left out. */
  readonly taskLoss?: TaskLoss;
  /** Whether it reads --graph: "required", or "optional". */
  readonly graph?: "required" | "optional";
  /** Throws UserError when the options do not fit together or the number of groups is wrong. */
  make(setup: SamplerSetup<O>): Sampler;
}

/** What an ordering may know of the rows. */
export interface OrderingSetup<O extends Options = Options> {
  /** Tokens of every row. */
  readonly lengths: ArrayLike<number>;
  /** Mean loss of every row under the model as it was at the start (or now, with `live`); for orderings that need "scores". */
  readonly scores?: ArrayLike<number>;
  /** Share of the training that is done, 0 to 1. */
  readonly done: number;
  /** Passes (as the ordering counts them) that are over. */
  readonly epoch: number;
  readonly seed: number;
  readonly values: Values<O>;
}

export interface OrderingMethod<O extends Options = Options> {
  readonly name: string;
  readonly title: string;
  readonly about: string;
  readonly cite: string;
  readonly options: O;
  /** "scores": of the start, once. "live": of the model as it is, before every epoch. */
  readonly needs?: "scores" | "live";
  /** Rows of one epoch, in the order in which they are trained on. */
  rows(setup: OrderingSetup<O>): Uint32Array;
}

export const defineSampler = <const O extends Options>(method: SamplerMethod<O>): SamplerMethod<O> => method;
export const defineOrdering = <const O extends Options>(method: OrderingMethod<O>): OrderingMethod<O> => method;

/** p_i exp(eta g_i), normalised: the step of exponentiated gradient. Adding a constant to all of g changes nothing. */
export function exponentiated(p: readonly number[], g: readonly number[], eta: number): number[] {
  const most = Math.max(...g.map((value) => eta * value));
  const raised = p.map((value, i) => value * Math.exp(eta * g[i]! - most));
  const sum = raised.reduce((a, b) => a + b, 0);
  return raised.map((value) => value / sum);
}

export const softmax = (x: readonly number[]): number[] =>
  exponentiated(
    x.map(() => 1),
    x,
    1,
  );

export const uniform = (k: number): number[] => Array.from({ length: k }, () => 1 / k);

/** Keeps every group alive: (1 - epsilon) p + epsilon / K. */
export const smoothed = (p: readonly number[], epsilon: number): number[] =>
  p.map((value) => (1 - epsilon) * value + epsilon / p.length);

/** What a selector may know of the rows. */
export interface SelectorSetup<O extends Options = Options> {
  /** One number per row, NaN where unknown; for selectors that need "losses" or "norms". */
  readonly scores: ArrayLike<number>;
  /** One vector per row, all equally long; for selectors that need "states". */
  readonly states: readonly Float64Array[];
  /** Rows to keep, at least 1 and at most all. */
  readonly budget: number;
  readonly seed: number;
  readonly values: Values<O>;
}

/** A way to choose rows: `curriculum select --select-by NAME`. */
export interface SelectorMethod<O extends Options = Options> extends MethodInfo {
  readonly options: O;
  /** Losses or norms of gradients per row, or the mean of its last hidden states. */
  readonly needs: "losses" | "norms" | "states";
  /** Positions of `budget` rows, the best first; and figures for the log. */
  select(setup: SelectorSetup<O>): { readonly rows: readonly number[]; readonly notes?: Record<string, unknown> };
}

export const defineSelector = <const O extends Options>(method: SelectorMethod<O>): SelectorMethod<O> => method;

declare module "../method/registry.ts" {
  interface Contracts {
    curriculum: SamplerMethod | OrderingMethod;
    selector: SelectorMethod;
  }
}
