/**
 * What a merge method is: a name, a source, options, laws, and a function from the tensors of one name to one tensor.
 *
 * A file of methods/ is a method; `--method task-arithmetic` is `task-arithmetic.ts`.
 */
import type { Laws } from "../method/laws.ts";
import type { OptionSpec, Options, Values } from "../method/options.ts";
import type { MethodInfo } from "../method/registry.ts";
import type { TensorInputs } from "./job/tensor-inputs.ts";
import type { MergeJob } from "./job/tensor-job.ts";
import type { Outline, Outlined } from "./structure/outline.ts";
import type { Tuning } from "./tuning/contract.ts";

/** Values as a method sees them: options that go per model are arrays in the order of the models. */
export type MergeValues<O extends Options> = {
  [K in keyof O]: O[K] extends OptionSpec & { per: "model" } ? Values<O>[K][] : Values<O>[K];
};

/** The laws of merging. test/laws/merge-laws.test.ts tests each method for those that it claims. */
export const MERGE_LAWS = {
  equalInputs: "where base and models are one model, the result is that model",
  equalModels: "equal models whose weights sum to 1 give that model, whatever the base is",
  order: "the order of models that count alike does not matter",
  baseAtZero: "lambda 0 gives the base, to the bit",
  homogeneous: "inputs times a power of two give the result times it",
} as const;

export type MergeLaw = keyof typeof MERGE_LAWS;

/** What `MergeMethod.holds` knows of a tensor: `count` models have it, besides the base. */
export interface HeldTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly count: number;
}

/**
 * Any merge method, the types of its options and of its survey forgotten: `bind` makes the values that its jobs hold.
 */
export interface MergeMethod extends MethodInfo {
  /** For every law: true if the method keeps it, else why it does not apply. */
  readonly laws: Laws<MergeLaw>;
  /**
   * Settings that tests try: the claimed laws hold under the first, finite output and equal bytes in any chunks under
   * all. Left out: the defaults alone.
   */
  readonly trials?: readonly Readonly<Record<string, unknown>>[];
  /** How many models besides the base: [least, most]. */
  readonly models: readonly [number, number];
  /**
   * required: the base is the origin of the task vectors (or one end of the path) and is not one of `job.models`.
   * optional: if given, it is the origin. input: a base is one more model (mergekit's `linear`). none: refused.
   */
  readonly base: "required" | "optional" | "input" | "none";
  /**
   * mergekit crops embeddings of different height to the common rows, or the models to the base; otherwise heights must
   * agree.
   */
  readonly heights: "common" | "base" | "equal";
  /** "many" when the whole tensor must be seen before its first value can be written. */
  readonly passes: "one" | "many";
  /**
   * Device memory besides the inputs, in bytes per value of the tensor; 0 unless the method holds whole intermediates.
   */
  readonly scratch?: number;
  /**
   * Memory besides these for a tensor, in bytes: of whole intermediates that are no multiple of its size on the device,
   * and of what the host computes with. Nothing when left out.
   */
  holds?(tensor: HeldTensor): { readonly gpu?: number; readonly host?: number };
  /**
   * For methods whose result is built otherwise than its inputs: which tensors it has, of which parts of the inputs,
   * and what config.json says of it. `merge` then adds up the parts. Throws UserError for models that it cannot take.
   */
  // biome-ignore lint/suspicious/noExplicitAny: the types of its options are known to its method alone
  outline?(inputs: Outlined<any>): Outline;
  /**
   * Looks at the whole model before the first tensor is merged, for methods whose statistics are global. Gets the
   * inputs of every tensor to be merged (their chunks are loaded when visited and not kept); what it returns is
   * `job.survey` of every job, and is disposed of at the end if it is disposable.
   */
  survey?(tensors: readonly TensorInputs<never>[]): Promise<unknown>;
  /**
   * What a dry run checks of checkpoints that options name: it gets the inputs as a survey does, reads headers alone,
   * and throws UserError where those checkpoints do not fit.
   */
  precheck?(tensors: readonly TensorInputs<never>[]): Promise<void>;
  /** Of a method whose coefficients are learnt from data before the merge writes the result. */
  // biome-ignore lint/suspicious/noExplicitAny: the values of its options are known to its method alone
  readonly tune?: Tuning<any>;
  /** Runs once per output tensor; ends with a call that writes the result (`job.combine`, `job.emit`, `job.copy`). */
  // biome-ignore lint/suspicious/noExplicitAny: what a survey finds is known to its method alone
  merge(job: MergeJob<never, any>): Promise<void>;
}

/**
 * A merge method with the types of its options and of its survey. Options marked `per: "model"` take one value per
 * model; all may be gradients over depth and filtered by tensor name. `S` is the type of `job.survey`: undefined for
 * methods without one.
 */
export interface TypedMergeMethod<O extends Options, S> extends MergeMethod {
  readonly options: O;
  outline?(inputs: Outlined<MergeValues<O>>): Outline;
  readonly tune?: Tuning<MergeValues<O>>;
  survey?(tensors: readonly TensorInputs<MergeValues<O>>[]): Promise<S>;
  precheck?(tensors: readonly TensorInputs<MergeValues<O>>[]): Promise<void>;
  merge(job: MergeJob<MergeValues<O>, S>): Promise<void>;
}

/**
 * Declares a method; infers the types of its options and of what its survey finds.
 *
 *   export const method = mergeMethod({
 *     name: "halfway",
 *     ...
 *     options: { share: { type: "0 <= number <= 1", default: 0.5, help: "share of the second model" } },
 *     merge: (job) => job.combine([1 - job.values.share, job.values.share]),
 *   });
 */
export const mergeMethod = <const O extends Options, S = undefined>(
  method: TypedMergeMethod<O, S>,
): TypedMergeMethod<O, S> => method;

declare module "../method/registry.ts" {
  interface Contracts {
    merge: MergeMethod;
  }
}
