/** What a job is about: one tensor to be merged, and how. */
import type { TensorEntry } from "../../checkpoint/checkpoint.ts";
import type { Dtype } from "../../checkpoint/dtype.ts";
import type { OperandDtype } from "../../tensor/load.ts";

/** A tensor to be merged, as planned. */
export interface MergeTask {
  readonly name: string;
  readonly shape: readonly number[];
  /** The type in which it is written. */
  readonly outDtype: Dtype;
  /** Inputs are rounded to this type when it is narrower than theirs; arithmetic is in f32 in any case. */
  readonly workDtype: OperandDtype;
  readonly base?: TensorEntry | undefined;
  readonly models: readonly TensorEntry[];
  /** Position of each model in the recipe: random streams are keyed by it, and a tensor may be missing from some. */
  readonly modelIndex: readonly number[];
  /** Place of its block in the stack, 0 first and 1 last, and the block's number; undefined outside the blocks. */
  readonly depth?: number | undefined;
  readonly layer?: number | undefined;
  /** Of a result that an outline describes: what each model is multiplied by. */
  readonly shares?: readonly number[] | undefined;
  /** The tensor that this one is a copy of: random streams are keyed by it, so that the two stay equal. */
  readonly copyOf?: string | undefined;
  /** Some inputs are larger than `shape`: the top-left rows and columns of each count. */
  readonly crop?: { readonly rows: number; readonly columns: number } | undefined;
}

/** A task with its parameters, already evaluated for its name and depth. */
export interface ValuedTask extends MergeTask {
  /**
   * copy: the one input given, base or model, is written as it is, cast to `outDtype` if that differs from its type.
   */
  readonly kind: "merge" | "copy";
  /** Of a copy: inputs that must hold the same bytes, with the models they are of. */
  readonly twins?: readonly { readonly ref: string; readonly entry: TensorEntry }[];
  /** Parameters with one value for all models, defaults filled in. */
  readonly values: Readonly<Record<string, unknown>>;
  /** Parameters with a value per model, in the order of `models`. */
  readonly perModel: readonly Readonly<Record<string, unknown>>[];
}

/** Inputs of a task, the base first. */
export const entriesOf = ({ base, models }: Pick<MergeTask, "base" | "models">): readonly TensorEntry[] =>
  base ? [base, ...models] : models;

/**
 * How a tensor is cut; left out, as suits the adapter. Tests set it to see several chunks, read again for every pass.
 */
export interface ChunkSizes {
  /** Values per chunk and input. */
  readonly chunkValues?: number;
  /** Bytes up to which the inputs of a tensor stay on the device between passes. */
  readonly residentBytes?: number;
}

export interface JobSettings extends ChunkSizes {
  readonly seed: number;
  /** Round every intermediate to the working dtype, as a tool that computes in it does. */
  readonly compatRounding: boolean;
  /** Reproduce known faults of the reference tool. */
  readonly compatBugs: boolean;
  /** Scale of the result's change from the base, by tensor: a step after any method. */
  readonly post?: (task: MergeTask) => number;
  /** Gets what is odd about a tensor but harmless; told at the end, one line per cause. */
  readonly remark?: (what: string, tensor: string) => void;
  /** Looks at inputs whose values that are not finite the result may not show. */
  readonly inputs?: {
    look(
      tensor: string,
      chunk: { readonly n4: number; readonly pitch: number; readonly stack: GPUBuffer },
      slots: number,
      dtype: OperandDtype,
    ): Promise<void>;
  };
}
