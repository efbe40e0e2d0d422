/**
 * What a distillation method is: a loss of the student's outputs against the teachers'. A file of this folder that exports `method`
 * is one; `--method taid` is taid.ts.
 *
 * Most are a loss per row of logits (a token's, or an example's); the frame runs the models, cuts large vocabularies into chunks,
 * mixes in the labels' cross-entropy, averages over the rows that count, and lets a sparse teacher stand in for a live one.
 */
import type { Json } from "../json.ts";
import { type Laws, sameClaim } from "../method/laws.ts";
import type { Options, Values } from "../method/options.ts";
import type { ModelSizes } from "../model/architecture.ts";
import type { Recorded } from "../model/model.ts";
import type { Recorder } from "../tensor/recorder.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** Rows of logits, those of the teachers without gradient. */
export interface Rows<O extends Options = Options> {
  /** (n, V) */
  readonly student: Tensor;
  /** (n, V) each; of another width where vocabularies may differ. */
  readonly teachers: readonly Tensor[];
  /** (n) i32; negative: the row does not count, so that nobody hears its loss. */
  readonly targets: Tensor;
  /** (n, C): what the student's head reads. */
  readonly hidden: Tensor;
  readonly values: Values<O>;
  /** Parameters of the method's own, by name. */
  extra(name: string): Tensor;
  /** Reports the mean of (n) values over the rows that count. */
  note(name: string, values: Tensor): void;
}

/** Outputs of whole models, for losses on hidden states. */
export interface States<O extends Options = Options> {
  readonly student: Recorded;
  readonly teacher: Recorded;
  readonly sizes: { readonly student: ModelSizes; readonly teacher: ModelSizes };
  readonly values: Values<O>;
  extra(name: string): Tensor;
}

/** What a method adapts between steps; see train/run.ts. */
export interface Adaptive {
  /** Numbers that the recorded loss takes as `dynamic`. */
  values(step: number): Readonly<Record<string, number>>;
  /** Hears the metrics of every step before the next begins. */
  heard(metrics: Readonly<Record<string, number>>, step: number): void;
  state(): Json;
  load(state: Json): void;
}

/** What holds for every input of a loss, row by row. */
export const DISTILL_LAWS = {
  zeroAtTeacher: "a student that answers as the teacher does has loss 0 and no gradient",
  neverNegative: "no row has a loss below 0",
  gradientIsSlope: "the gradient is the slope of the loss: nothing is held fixed that the student changes",
  shiftInvariant: "a number added to all logits of a row changes nothing",
  rowsIndependent: "the loss of a row depends on that row alone",
  zeroWhereUncounted: "a row whose target is negative has loss 0 and no gradient",
} as const;

export type DistillLaw = keyof typeof DISTILL_LAWS;

/** Claims all laws of a distillation loss. A method names its exceptions after it: `{ ...EVERY_LAW, shiftInvariant: "..." }`. */
export const EVERY_LAW = sameClaim(DISTILL_LAWS, true);

export interface ExtraSpec {
  readonly name: string;
  readonly shape: readonly number[];
  /** Standard deviation of a normal distribution about 0; 0 for zeros. */
  readonly std: number;
}

export interface DistillMethod<O extends Options = Options> {
  readonly name: string;
  readonly title: string;
  readonly about: string;
  readonly cite: string;
  readonly options: O;
  readonly laws: Laws<DistillLaw>;
  /** Fewest and most teachers; [1, 1] when left out. */
  readonly teachers?: readonly [number, number];
  /** Weights of its loss and of the labels' cross-entropy where options do not say; 1 and 0 when left out. */
  readonly weights?: { readonly distill?: number; readonly labels?: number };
  /** Whether the teacher may have a tokenizer of its own. Its rows then stand at the same places of the text, over its own vocabulary. */
  readonly vocabularies?: "any";
  /** Whether a cache of the teacher's top k can stand in for it. */
  readonly sparse?: boolean;
  /** Whose samples it trains on unless told otherwise. */
  readonly samples?: "given" | "teacher" | "student";
  /** Loss of every row of logits (n). */
  rows?(rec: Recorder, rows: Rows<O>): Tensor;
  /** Loss of every position (N) from hidden states. */
  states?(rec: Recorder, states: States<O>): Tensor;
  /** With --online the teacher learns too: its loss of every row (n), the student held fixed. */
  teacherRows?(
    rec: Recorder,
    rows: { readonly student: Tensor; readonly teacher: Tensor; readonly targets: Tensor; readonly values: Values<O> },
  ): Tensor;
  /** Weights that are trained beside the student and dropped at the end. */
  extra?(sizes: {
    readonly student: ModelSizes;
    readonly teacher: ModelSizes | undefined;
    readonly values: Values<O>;
  }): readonly ExtraSpec[];
  /** Whether what goes against the labels' gradient is taken away from that of its loss; each then has a pass of its own. */
  aligned?(values: Values<O>): boolean;
  adaptive?(given: { readonly values: Values<O>; readonly steps: number; readonly teachers: number }): Adaptive;
  /** Refuses options that do not fit together, before any work. Throws UserError. */
  check?(values: Values<O>): void;
}

export const defineDistillation = <const O extends Options>(method: DistillMethod<O>): DistillMethod<O> => method;

/** Options that several methods share. */
export const TEMPERATURE = {
  type: "number > 0",
  default: 1,
  help: "divides both logits; the loss is multiplied by its square",
  value: "T",
} as const;

declare module "../method/registry.ts" {
  interface Contracts {
    distill: DistillMethod;
  }
}
