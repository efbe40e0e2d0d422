/**
 * What a merge method is: a name, a source, options, and a function from the tensors of one name to one tensor.
 *
 * A file of this folder that exports `method` is a method; `--method task-arithmetic` is `task-arithmetic.ts`.
 */
import type { OptionSpec, Options, Values } from "../method/options.ts";
import type { MergeJob } from "./job/tensor-job.ts";

/** Values as a method sees them: options that go per model are arrays in the order of the models. */
export type MergeValues<O extends Options> = {
  [K in keyof O]: O[K] extends OptionSpec & { per: "model" } ? Values<O>[K][] : Values<O>[K];
};

export interface MergeMethod<O extends Options = Options> {
  /** mergekit's name where it has the method (`task_arithmetic`), otherwise the field's. */
  readonly name: string;
  readonly title: string;
  /** One line for lists and the README. */
  readonly about: string;
  /** "arXiv:2306.01708", or the tool or page that defines the method. */
  readonly cite: string;
  /** How many models besides the base: [least, most]. */
  readonly models: readonly [number, number];
  /**
   * required: the base is the origin of the task vectors (or one end of the path) and is not one of `job.models`.
   * optional: if given, it is the origin. input: a base is one more model (mergekit's `linear`). none: refused.
   */
  readonly base: "required" | "optional" | "input" | "none";
  /** mergekit crops embeddings of different height to the common rows, or the models to the base; otherwise heights must agree. */
  readonly heights: "common" | "base" | "equal";
  /** Options marked `per: "model"` take one value per model; all may be gradients over depth and filtered by tensor name. */
  readonly options: O;
  /** "many" when the whole tensor must be seen before its first value can be written. */
  readonly passes: "one" | "many";
  /** Device memory besides the inputs, in bytes per value of the tensor; 0 unless the method holds whole intermediates. */
  readonly scratch?: number;
  /**
   * Looks at the whole model before the first tensor is merged, for methods whose statistics are global. Gets one job per
   * tensor to be merged (their chunks are loaded when visited and not kept); what it returns is `job.survey` of every job, and is
   * disposed of at the end if it is disposable.
   */
  survey?(jobs: readonly MergeJob<MergeValues<O>>[]): Promise<unknown>;
  /** Runs once per output tensor; ends with a call that writes the result (`job.combine`, `job.emit`, `job.copy`). */
  merge(job: MergeJob<MergeValues<O>>): Promise<void>;
}

/** Declares a method; infers the types of its options. */
export const mergeMethod = <const O extends Options>(method: MergeMethod<O>): MergeMethod<O> => method;

declare module "../method/registry.ts" {
  interface Contracts {
    merge: MergeMethod;
  }
}
