/**
 * Capabilities of distillation: what a method changes of the frame around its loss, such as where teachers come from or
 * what else learns. A method names them (`needs: [teacherCache]`), and each acts where its file says.
 */
import type { Checkpoint, LineageEntry } from "../checkpoint/checkpoint.ts";
import type { Batch } from "../data/batch.ts";
import type { Sequence } from "../data/sequences.ts";
import type { Gpu } from "../gpu/gpu.ts";
import type { Capability } from "../method/capability.ts";
import type { Options, Values } from "../method/options.ts";
import type { Model } from "../model/model.ts";
import type { TextTools } from "../run/text-tools.ts";
import type { BatchSource } from "../run/training/batch-source.ts";
import type { Controller } from "../run/training/controller.ts";
import type { Opened } from "../run/training/technique.ts";
import type { UpdateRule } from "../run/training/update-rule.ts";
import type { Parameter } from "../tensor/parameter.ts";
import type { Recorder } from "../tensor/recorder.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { DistillRun } from "./run.ts";
import type { HowSampled } from "./sampled.ts";
import type { OpenTeachers, TeacherReading } from "./teachers.ts";

/** Weights of a method's loss and of the labels' cross-entropy. */
export interface LossWeights {
  readonly distill: number;
  readonly labels: number;
}

/** What is known of a run before anything is opened. */
export interface Begun {
  readonly method: string;
  /** The teachers that are named. */
  readonly named: readonly string[];
  readonly weights: LossWeights;
  /** Whether held-out losses are measured on the way. */
  readonly evaluates: boolean;
  /** Of samples; 1 when left out. */
  readonly temperature?: number;
}

/** Rows of logits as the first teacher learns from them. */
export interface TeacherRows {
  /** (n, V), without gradient. */
  readonly student: Tensor;
  /** (n, V) */
  readonly teacher: Tensor;
  /** (n) i32; negative: the row does not count. */
  readonly targets: Tensor;
}

/** What is there when every step is done. */
export interface Ending {
  /** The teachers, and what they were read from. */
  readonly models: readonly Model[];
  readonly checkpoints: readonly Checkpoint[];
  /** Weights beside the student's, by name. */
  readonly extra: ReadonlyMap<string, Parameter>;
  readonly gpu: Gpu;
  /** That of the run's result, the run last. */
  readonly lineage: readonly LineageEntry[];
}

/** What batches of a part's own are made of. */
export interface BatchesGiven {
  /** The first one; undefined where it is the student's own base. */
  readonly teacher: Model | undefined;
  readonly student: Model;
  readonly tools: TextTools;
  readonly sequences: readonly Sequence[];
  readonly options: HowSampled & Pick<DistillRun["options"], "eval_every">;
  readonly batchSize: number;
  /** How many batches the run draws, and how many of them a step has. */
  readonly batches: number;
  readonly accumulate: number;
  readonly seed: number;
  readonly signal: AbortSignal | undefined;
}

/** Batches that a part makes itself. */
export interface OwnBatches {
  readonly source: BatchSource<Batch>;
  readonly controllers: readonly Controller[];
  free?(): Promise<void>;
}

/** A capability in one run. */
export interface DistillPart {
  /** Opens teachers in place of those that are named; reads headers only. Throws UserError. */
  openTeachers?(run: DistillRun, student: Opened): Promise<OpenTeachers>;
  /** How a teacher that is named is read; over the student's own vocabulary when left out. */
  readonly reading?: TeacherReading;
  /** Whether the teachers' weights are trained too. */
  readonly trainsTeachers?: boolean;
  /** A loss of the first teacher (n), beside the method's. */
  teacherRows?(rec: Recorder, rows: TeacherRows): Tensor;
  /** Whether the labels and the method's loss are parts of the objective with a pass each, in this order. */
  readonly apart?: boolean;
  /** Whether its batches have answers that teacher and student write. */
  readonly answers?: boolean;
  /**
   * Numbers of every position of a batch (N), by name, which the method's loss reads; undefined for batches that are
   * not its own. Of parts with batches.
   */
  readonly positions?: {
    readonly names: readonly string[];
    of(batch: Batch): Readonly<Record<string, Float32Array>> | undefined;
  };
  /** Batches of texts in the place of the data's; what controls them is saved with the run. */
  batches?(source: BatchSource<Batch>, given: BatchesGiven): OwnBatches;
  /** Rules for the update of the student and of the weights beside it. */
  updates?(gpu: Gpu, parameters: readonly Parameter[]): UpdateRule[];
  /** Called after the last step, before the result is written. */
  end?(ending: Ending): Promise<void>;
}

export interface DistillCapability<O extends Options = Options, V = Values<O>> extends Capability<O> {
  /** What may be given instead of --teacher, for messages. */
  readonly instead?: string;
  /** Its part in a run; undefined under options that leave it out. Throws UserError for options that do not fit. */
  begin(values: V, begun: Begun): DistillPart | undefined;
}

/** A capability whose values are known to its own code only: those that `bind` gives. */
export type AnyCapability = DistillCapability<Options, never>;
