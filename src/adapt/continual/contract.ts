/**
 * What a continual method is: how a model learns one task after another without losing the ones before. Each file of
 * methods/continual/ is one: `adapt --tasks a.jsonl,b.jsonl --method er` is er.ts.
 *
 * The frame trains stage after stage, each on one task (or all at once, `joint`), measures every task after each stage,
 * saves and resumes. A method acts at four places, and keeps nothing between them but what its learner's state has:
 *
 *   begin     once, before the first stage: makes the learner. Only here is the untouched model seen.
 *   stage     before each stage: which rows come beside the new ones, terms and parts of the objective, update rules.
 *             It is called again when a run resumes within the stage, so it follows from the state alone.
 *   learned   after each stage: importances, statistics, copies of weights. The only place where the state changes,
 *             except for what update rules keep of their own.
 *   finish    after the last stage, before the result is written
 */
import type { Tokenizer } from "../../data/tokenizer.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import type { Json } from "../../json.ts";
import type { Options, Values } from "../../method/options.ts";
import type { MethodInfo } from "../../method/registry.ts";
import type { Inputs, Json as ModelJson } from "../../model/architecture.ts";
import type { Model } from "../../model/model.ts";
import type { Controller } from "../../run/training/controller.ts";
import type { UpdateRule } from "../../run/training/update-rule.ts";
import type { Parameter } from "../../tensor/parameter.ts";
import type { Program } from "../../tensor/program.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { PartBatch, RowRef, StreamRows } from "./rows.ts";

/** Whether a model that is asked knows of which task a row is, and whether tasks bring classes of their own. */
export type Scenario = "domain" | "class" | "task";

/** One task of the stream. */
export interface Task {
  readonly index: number;
  readonly name: string;
  /** Training rows: sequences, or examples. */
  readonly rows: number;
  /** Of a classifier: the labels of its rows, ascending; empty for a language model. */
  readonly classes: readonly number[];
}

/** Rows of tasks that another stream learnt. */
export interface Earlier {
  /** In the order of the file. */
  readonly rows: readonly RowRef[];
  /** Of how many rows they are a choice. */
  readonly seen: number;
}

/** What a method knows of a run. */
export interface Stream<V> {
  readonly gpu: Gpu;
  /** The model that learns; a learner reads it, and leaves its weights to the training. */
  readonly model: Model;
  readonly values: V;
  readonly tasks: readonly Task[];
  /** The rows of all tasks. A method takes those of tasks that are over from its buffer alone. */
  readonly rows: StreamRows;
  /** The tokens that end a text; undefined for a classifier, and for a language model of bare ids. */
  readonly tokenizer: Pick<Tokenizer, "eos" | "ends"> | undefined;
  readonly scenario: Scenario;
  readonly seed: number;
  /** Rows of a micro-batch. */
  readonly batchSize: number;
  readonly signal: AbortSignal;
  /** On a device that computes nothing: memory is taken, and no value can be read. */
  readonly dry: boolean;
  /** Whether the state is loaded next: the model's weights are no longer those before the first stage. */
  readonly resumed: boolean;
  /** config.json as it was named, before `config` changed it. */
  readonly given: ModelJson;
  /** Reads rows of a classifier, without their labels, from files that an option names. */
  unlabelled(files: readonly string[]): Promise<StreamRows>;
  /** Reads rows that another stream kept, and adds them to `rows` as tasks behind those of this one. */
  earlier(file: string): Promise<Earlier>;
  info(text: string): void;
}

/** A training of the stream. */
export interface Stage {
  /** From 0. */
  readonly index: number;
  readonly isLast: boolean;
  readonly name: string;
  /** Indices of the tasks that are learnt, and of those of the stages before. */
  readonly tasks: readonly number[];
  readonly old: readonly number[];
}

/** What a term knows of the batch that it is recorded for. */
export interface TermGiven {
  readonly inputs: Inputs;
  readonly batch: PartBatch;
}

/** Rows of logits of one chunk. */
export interface TermRows {
  /** (n, V); outputs that the scenario hides are very low. */
  readonly logits: Tensor;
  /** (n, V) with all outputs as they are. */
  readonly raw: Tensor;
  /** (n) i32; negative: the row does not count. */
  readonly targets: Tensor;
  /** (n, C): what the head reads. */
  readonly hidden: Tensor;
  /** The chunk of `RecordedTerm.along`. */
  readonly along: readonly Tensor[];
}

export interface RecordedTerm {
  /** Tensors with a row per position, which are cut into chunks. */
  readonly along: readonly Tensor[];
  /** Loss of every row of a chunk (n). */
  rows(rec: Recorder, rows: TermRows): Tensor;
}

/** A term of an objective beside the labels' cross-entropy: its mean over the positions that count times a weight. */
export interface Term {
  /** Reported as `NAME_loss`. */
  readonly name: string;
  /** A term of weight 0 is left out. */
  readonly weight: number;
  record(rec: Recorder, given: TermGiven): RecordedTerm;
  /** Fills what `record` declared. */
  fill?(program: Program, batch: PartBatch): void;
  /** Whether it takes part in a batch, by its place among those of the stage; in all when left out. */
  active?(place: number): boolean;
}

/** A pass of the objective beside that of the new rows, with rows of its own. */
export interface Part {
  /** Tells it from the others; the new rows are the part "new". */
  readonly name: string;
  /** Weight of the labels' cross-entropy; 1 when left out. */
  readonly labels?: number;
  readonly terms?: readonly Term[];
  /** Rows of batch `batch` of pass `epoch`: a function of both. Always as many. */
  draw(epoch: number, batch: number): readonly RowRef[];
  /** All rows that it may draw. */
  readonly from: readonly RowRef[];
}

/** Old rows among the new ones of a batch. */
export interface Mix {
  /** Old rows in a pass over the new ones, spread evenly. */
  readonly perPass: number;
  /** Those of a pass, in order: a function of `epoch`. */
  draw(epoch: number): readonly RowRef[];
  readonly from: readonly RowRef[];
}

/** What a method changes of one stage. */
export interface StageWork {
  /** The stage makes no step: what it learns is up to `learned`. */
  readonly still?: true;
  readonly mix?: Mix | undefined;
  /** Weight of the labels' cross-entropy on the new rows and those mixed in; 1 when left out. */
  readonly labels?: number;
  /** Outputs of a classifier that take part in the stage's training; those of the scenario when left out. */
  readonly classes?: readonly number[];
  /** Terms on the same rows. */
  readonly terms?: readonly Term[];
  /** Further passes. */
  readonly parts?: readonly Part[];
  /**
   * What changes the way from gradients to weights; composed as update-rule.ts says, freed with the stage. A rule that
   * combines sees the gradients of "new" and of each of `parts` apart.
   */
  readonly updates?: readonly UpdateRule[];
  readonly controllers?: readonly Controller[];
  /** Hears how many steps the stage makes, of how many batches each, before the first one. */
  planned?(steps: number, accumulate: number): void;
  /** Trained beside the model in this stage alone. */
  readonly extra?: readonly Parameter[];
  /** Sees each batch of new rows before the step that learns it, and may change the weights. */
  meet?(batch: PartBatch): Promise<void>;
}

/** Scores of one task. */
export interface TaskScore {
  /** Mean over the positions that count. */
  readonly loss: number;
  /** Share of the examples that get their class; of classifiers alone. */
  readonly accuracy?: number;
  readonly counted: number;
}

/** The rows of all tasks that a score is of, and how to score. */
export interface Measuring {
  /** Rows of their own where some are held out; else those that are learnt. */
  readonly rows: StreamRows;
  /** By task, in batches. */
  readonly tasks: readonly (readonly PartBatch[])[];
  /** Scores of such lists of batches, by the weights as they are. */
  score(tasks: readonly (readonly PartBatch[])[]): Promise<TaskScore[]>;
}

/** A further result of a stream: what the model is with other weights. */
export interface FurtherResult {
  /** A name for a folder. */
  readonly name: string;
  /** Gives the model these weights. */
  wear(): void | Promise<void>;
}

/** Values on the host that are saved with a run. */
export interface HostTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

/** A method in one run. All that it knows is in its state, so that a run resumes bit for bit. */
export interface Learner {
  /** What changes in the next stage. */
  stage?(stage: Stage): StageWork | Promise<StageWork>;
  /** Hears that a stage is done; the weights are those that it led to. */
  learned?(stage: Stage): void | Promise<void>;
  finish?(): void | Promise<void>;
  /** Numbers that are saved. */
  state?(): Json;
  /** Continues from them; makes the memory that `kept` names. Called before `kept` is filled. */
  load?(state: Json): void | Promise<void>;
  /** Weights and values that are saved. */
  kept?(): readonly (Parameter | HostTensor)[];
  /** Bytes that it holds on the GPU from stage to stage, by kind. */
  memory?(): Readonly<Record<string, number>>;
  /** The rows that it keeps of tasks that are over; the result says how many. */
  memoryRows?(): readonly RowRef[];
  /** Of how many rows these are a choice; of themselves when left out. */
  memorySeen?(): number;
  /** Classes of rows by what the head reads of them, (N, C), in place of the head. */
  classify?(hidden: Float32Array, width: number, visible: readonly number[]): Int32Array;
  /** Scores every task where rows need other weights than those that learn; leaves the weights as they were. */
  measure?(measuring: Measuring): Promise<TaskScore[]>;
  /** Models that are written beside the result, in OUT-NAME folders; the weights that learnt are not needed again. */
  results?(): { readonly what: string; readonly each: readonly FurtherResult[] };
  /** What else the result as JSON says. */
  tells?(): Readonly<Record<string, Json>>;
  free?(): void;
}

export interface ContinualMethod<O extends Options = Options> extends MethodInfo<O> {
  /** Learns all tasks in one stage. */
  readonly joint?: true;
  /** config.json of the model that learns, where the method gives it other parts. Throws UserError. */
  config?(given: ModelJson, values: Values<O>): ModelJson;
  /** Weights that are trained where options do not say, as patterns of names. */
  readonly trains?: readonly string[];
  /** Throws UserError for values that do not fit together, before any work. */
  check?(values: Values<O>): void;
  begin(stream: Stream<Values<O>>): Learner | Promise<Learner>;
}

/** Declares a method; infers the types of its options. */
export const continualMethod = <const O extends Options>(method: ContinualMethod<O>): ContinualMethod<O> => method;

declare module "../../method/registry.ts" {
  interface Contracts {
    continual: ContinualMethod;
  }
}
