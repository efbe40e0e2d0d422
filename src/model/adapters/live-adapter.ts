/** An adapter of a loaded model, as recording, training and saving see it, whatever its type. */

import type { RoutePlan } from "../../tensor/ops/router.ts";
import type { Parameter } from "../../tensor/parameter.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Inputs } from "../architecture.ts";
import type { DrawnStep } from "./bit-draws.ts";
import type { OwnLoss } from "./told.ts";

/** A tensor of an adapter's file: a parameter or a part of one. */
export interface AdapterTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly parameter: Parameter;
  /** First value in the parameter. */
  readonly start: number;
  /** Held as a matrix of so many rows and columns, of which the file has the columns as rows. */
  readonly turned?: readonly [rows: number, columns: number];
  /** A second parameter of the same tensor: more rows, or as many columns beside those of the first. */
  readonly joined?: { readonly parameter: Parameter; readonly by: "rows" | "columns" };
}

/** How much of a parameter's steps is taken, 0 or 1 for each row, column or value. */
export interface TrainedPart {
  readonly parameter: Parameter;
  readonly along: "row" | "column" | "value";
  readonly factors: Float32Array;
}

/** Parts of an adapter of which one is trained at a time. */
export interface AdapterStages {
  readonly count: number;
  /** Whether the stage of every step is drawn; else they come one after the other. */
  readonly drawn: boolean;
  /** Weight in the loss of tokens with the mark of the stage (data/token-marks.ts); 1 where marks say nothing. */
  readonly focus: number;
  /** The stage of the step that is made, from 1. The training sets it. */
  current: number;
  /** What is trained in a stage, from 1: the same parameters in the same order for each. */
  of(stage: number): readonly TrainedPart[];
}

/** What a step of a training draws: values of parameters that are not trained, and what is trained of the others. */
export interface AdapterDraws {
  /** By seed and step; `trained` has the same parameters in the same order for each. */
  at(step: DrawnStep): {
    readonly written: readonly (readonly [parameter: Parameter, values: Float32Array])[];
    readonly trained: readonly TrainedPart[];
  };
}

/** A forward pass that is recorded. */
export interface Pass {
  readonly rec: Recorder;
  /** What the model reads: rows, tasks of rows. */
  readonly inputs: Inputs;
  /** What was noted of it so far, by the names of `Net.note`. Throws where nothing was. */
  noted(name: string): Tensor;
  /** The pass itself, by which an adapter may keep what it knows of it. */
  readonly pass: object;
  /**
   * Tells what a router of the adapter says, by a name such as its module's: (rows of the layer or of the batch, K),
   * the largest of which is taken first.
   */
  choose(name: string, worth: Tensor): void;
  /** Hands over a term of the adapter's own, which training adds to its loss. */
  lose(loss: OwnLoss): void;
}

/** The place of an adapter's part in a recording. */
export interface AdaptedPlace extends Pass {
  readonly module: string;
  /** The base's weight as it lies in memory. */
  readonly weight: Tensor;
}

/** A linear layer of the base. */
export interface LinearPlace extends AdaptedPlace {
  /** The weight is (in, out). */
  readonly transposed: boolean;
  /** (out) */
  readonly bias: Tensor | undefined;
  /** What the layer's result is added to. */
  readonly residual: Tensor | undefined;
  /** W x + b of any input (N, in). */
  product(x: Tensor): Tensor;
  /** The same with the residual, in one kernel. */
  whole(x: Tensor): Tensor;
  /** Adds the residual, if there is one. */
  finish(y: Tensor): Tensor;
}

/** A stack of experts' matrices. */
export interface ExpertsPlace extends AdaptedPlace {
  readonly plan: RoutePlan;
  /** Rows (N k, in), sorted by expert, each times its expert's matrix. */
  product(x: Tensor): Tensor;
}

/** An embedding. */
export interface EmbeddingPlace extends AdaptedPlace {
  /** Rows of any table (V, C): (N) -> (N, C), with the row that takes no gradient. */
  rows(table: Tensor): Tensor;
}

/** Keys and values of one layer: (tokens, kvHeads * headDim) each, as its attention takes them. */
export interface KeysValues {
  readonly keys: Tensor;
  readonly values: Tensor;
}

/** Tokens that stand before every sequence: they take its first positions, all of it sees them, they have no logits. */
export interface Ahead {
  readonly tokens: number;
  /** What goes through the layers in place of rows of the embedding, (tokens, C). */
  rows?(rec: Recorder): Tensor | undefined;
  /** What every layer sees, from the first on, where nothing goes through them. */
  keysValues?(rec: Recorder): readonly KeysValues[] | undefined;
}

/** A weight whose rows take steps of scales of their own, which are measured before each step. */
export interface StepScale {
  readonly parameter: Parameter;
  /** (rows) */
  record(rec: Recorder): Tensor;
}

/** How many groups of the data an adapter tells apart in training, and the option that says so. */
export interface AdapterGroups {
  readonly option: string;
  readonly most: number;
  /** Fewer leave the option without effect; 1 when left out. */
  readonly least?: number;
}

export interface LiveAdapter {
  /** The text of adapter_config.json. */
  readonly config: string;
  readonly ahead?: Ahead | undefined;
  /** Whether its layers keep what earlier tokens left, so that no shorter text can go on from it. */
  readonly recurrent?: boolean;
  /** Where it is trained stage after stage. */
  readonly stages?: AdapterStages | undefined;
  /** Where every step draws which of its parts it uses. */
  readonly draws?: AdapterDraws | undefined;
  readonly groups?: AdapterGroups | undefined;
  /** Of a bank: adapters that each give an answer, of which the mean is taken; the bank itself changes nothing. */
  readonly members?: readonly LiveAdapter[] | undefined;
  /** What takes the place of whole weights of the base, by their names there: biases and saved modules. */
  readonly whole: ReadonlyMap<string, Parameter>;
  /** The same adapter with other weights held whole. */
  withWhole(whole: ReadonlyMap<string, Parameter>, config: string): LiveAdapter;
  /** What a result holds, where that is less than what a training goes on from. */
  readonly exported?: { readonly config: string; stored(): AdapterTensor[] } | undefined;
  /** Everything that the adapter's file holds. */
  stored(): AdapterTensor[];
  /** What is held on the GPU of it. */
  tensors(): Parameter[];
  /** What is trained of it. */
  parameters(): Parameter[];
  /** Weights whose steps are scaled. */
  stepScales?(): StepScale[];
  free(): void;
  /** Whether it changes what a module gives. */
  changes(module: string): boolean;
  /** A linear layer's result (N, out); undefined where the base's own is right. */
  linear(place: LinearPlace, x: Tensor): Tensor | undefined;
  /** As `linear` of a stack of experts. */
  experts(place: ExpertsPlace, x: Tensor): Tensor | undefined;
  /** As `linear` of an embedding. */
  embed(place: EmbeddingPlace): Tensor | undefined;
  /** Hears of every forward pass before its layers. */
  begin?(pass: Pass): void;
  /** Takes the place of an inner tensor, by the names of `Net.note`; x itself where it does not. */
  note(pass: Pass, name: string, x: Tensor): Tensor;
}
