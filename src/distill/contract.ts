/**
 * What a distillation method is: a loss of the student's outputs against the teachers'. Each file of methods/ is one:
 * `--method taid` is taid.ts.
 *
 * Most are a loss per row of logits (a token's, or an example's); the frame runs the models, cuts large vocabularies
 * into chunks, mixes in the labels' cross-entropy and averages over the rows that count. A method that
 * changes more of the frame names capabilities.
 */
import { withCapabilityOptions } from "../method/capability.ts";
import { type Laws, sameClaim } from "../method/laws.ts";
import type { Options, Values } from "../method/options.ts";
import type { MethodInfo } from "../method/registry.ts";
import type { ModelSizes } from "../model/architecture.ts";
import type { Recorded } from "../model/model.ts";
import type { Change, Spans } from "../run/teachers/teacher.ts";
import type { Adaptive } from "../run/training/adaptive.ts";
import type { Recorder } from "../tensor/recorder.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { AnyCapability, LossWeights } from "./capability.ts";
import type { DISTILL } from "./options.ts";

/** Rows of logits, those of the teachers without gradient. */
export interface Rows<O extends Options = Options> {
  /** (n, V) */
  readonly student: Tensor;
  /** (n, V) each; of another width where vocabularies may differ. */
  readonly teachers: readonly Tensor[];
  /** (n) i32; negative: the row does not count, so the frame leaves its loss out. */
  readonly targets: Tensor;
  /** (n, C): what the student's head reads. */
  readonly hidden: Tensor;
  /** (n) 1 of rows that are moved against the student, else 0; of methods with `beside`, where rows are. */
  readonly moved?: Tensor | undefined;
  /** The student's logits as they compare with a teacher's: (n, that teacher's width). */
  own?(teacher: number): Tensor;
  /** (n, teachers) of `whole`. */
  readonly shares?: Tensor | undefined;
  /** Of methods that compare spans of tokens; (n) each where rows stand for such. */
  readonly spans?: Spans | undefined;
  /** Numbers of the rows (n), by name, of methods whose batches have such. */
  readonly given?: ((name: string) => Tensor) | undefined;
  readonly values: Values<O>;
  /** Parameters of the method's own, by name. */
  extra(name: string): Tensor;
  /** Reports the mean of (n) values over the rows that count. */
  note(name: string, values: Tensor): void;
}

/** What regressors say of rows, teachers without gradient. */
export interface Numbers<O extends Options = Options> {
  /** (B, K) */
  readonly student: Tensor;
  /** (B, K) each. */
  readonly teachers: readonly Tensor[];
  /** (B, K): what rows say. */
  readonly wanted: Tensor;
  readonly values: Values<O>;
  extra(name: string): Tensor;
  /** Reports the mean of (B) values over the rows. */
  note(name: string, values: Tensor): void;
}

/** Outputs of whole models, for losses on hidden states. */
export interface States<O extends Options = Options> {
  readonly student: Recorded;
  readonly teacher: Recorded;
  /** The teacher once more, with other tensors in the place of those that it notes. */
  again(change: Change): Recorded;
  readonly sizes: { readonly student: ModelSizes; readonly teacher: ModelSizes };
  readonly values: Values<O>;
  extra(name: string): Tensor;
  /** Reports the mean of (N) values over the rows that count. */
  note(name: string, values: Tensor): void;
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

/**
 * Claims all laws of a distillation loss. A method names its exceptions after it: `{ ...EVERY_LAW, shiftInvariant:
 * "..." }`.
 */
export const EVERY_LAW = sameClaim(DISTILL_LAWS, true);

export interface ExtraSpec {
  readonly name: string;
  readonly shape: readonly number[];
  /** Standard deviation of a normal distribution about 0; 0 for zeros. */
  readonly std: number;
}

export interface DistillMethod<O extends Options = Options> extends MethodInfo<O> {
  readonly laws: Laws<DistillLaw>;
  /** Fewest and most teachers; [1, 1] when left out. */
  readonly teachers?: readonly [number, number];
  /** Weights of its loss and of the labels' cross-entropy where options do not say; 1 and 0 when left out. */
  readonly weights?: Partial<LossWeights>;
  /** Values of the script's options when they do not say. */
  readonly defaults?: Partial<Pick<Values<typeof DISTILL>, "teacher_samples" | "sample_temperature">>;
  /** Whether --adversarial gives it rows as they are and, after them, moved; else moved ones in their place. */
  readonly beside?: true;
  /** What it changes of the frame. */
  readonly needs?: readonly AnyCapability[];
  /** Loss of every row of logits (n). */
  rows?(rec: Recorder, rows: Rows<O>): Tensor;
  /** Loss of every row (B) of models that predict numbers. */
  numbers?(rec: Recorder, numbers: Numbers<O>): Tensor;
  /** What the labels' loss reads in the place of the student's logits (n, V). */
  scores?(rec: Recorder, logits: Tensor): Tensor;
  /**
   * What all sequences of a batch decide together: shares of the teachers (B, teachers), and a loss (1) that is added
   * whatever the weights are. Asked where teachers have rewards.
   */
  whole?(
    rec: Recorder,
    given: { readonly rewards: readonly Tensor[]; readonly values: Values<O>; extra(name: string): Tensor },
  ): { readonly shares: Tensor; readonly loss: Tensor };
  /** Loss of every position (N) from hidden states. */
  states?(rec: Recorder, states: States<O>): Tensor;
  /** Weights that are trained beside the student and dropped at the end. */
  extra?(sizes: {
    readonly student: ModelSizes;
    readonly teacher: ModelSizes | undefined;
    /** How many teachers there are; 1 when left out. */
    readonly teachers?: number;
    readonly values: Values<O>;
  }): readonly ExtraSpec[];
  /** Numbers that its loss takes as dynamic and that change between steps. */
  adaptive?(given: { readonly values: Values<O>; readonly steps: number; readonly teachers: number }): Adaptive;
  /** What the means of the first steps' metrics say against a run; it is said once, as a warning. */
  doubts?(means: Readonly<Record<string, number>>, values: Values<O>): string | undefined;
  /** Refuses options that do not fit together, before any work. Throws UserError. */
  check?(values: Values<O>): void;
}

/** Makes a method: its own options, and those of the capabilities that it needs. */
export const defineDistillation = <const O extends Options>(method: DistillMethod<O>): DistillMethod<O> =>
  withCapabilityOptions(method);

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
