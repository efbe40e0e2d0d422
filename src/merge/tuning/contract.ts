/**
 * Merges whose coefficients are learnt from data: what such a method says of itself.
 *
 * The merged weights are theta_l = base_l + sum_k c[l, k] tau_k,l, linear in the coefficients c, so the gradient of a
 * coefficient is <dL/dtheta_l, tau_k,l>: a normal backward pass through the model and inner products, and none through
 * the merge. The frame finds c; the ordinary merge then writes the result with it.
 */
import type { TensorInputs } from "../job/tensor-inputs.ts";
import type { LossName } from "./losses.ts";

/** Which tensors share the coefficients of a model: all, those of a block, or none. */
export type Granularity = "task" | "layer" | "tensor";

/** How many coefficients there are, and where they stand before the first step. */
export interface Coefficients {
  readonly models: number;
  /** (groups, models), row-major. */
  readonly start: Float64Array;
}

/** The numbers that are learnt, and the coefficients that follow from them. */
export interface FreeNumbers {
  readonly start: Float64Array;
  /** (groups, models), row-major. */
  coefficients(free: Float64Array): Float64Array;
  /** The gradient of the free numbers, from that of the coefficients; with that of `penalty`. */
  back(free: Float64Array, gradient: Float64Array): Float64Array;
  /** What is added to the loss for the free numbers themselves; nothing when left out. */
  penalty?(free: Float64Array): number;
  /** Brings numbers that a step has led out of their range back into it. */
  clamp?(free: Float64Array): void;
}

/** A tensor's inputs as the coefficients multiply them: x_k stands for base + tau_k. */
export interface Prepared {
  /** `stack`: base and models as `chunk.stack` has them, in the type of the inputs or in f32. */
  readonly stack: GPUBuffer;
  readonly dtype: "F32" | "F16" | "BF16";
  readonly pitch: number;
  free(): void;
}

/** A part of a tensor's inputs on the device. */
type Part = Parameters<Parameters<TensorInputs["each"]>[0]>[0];

/** Makes the inputs of one tensor ready, chunk by chunk. */
export type Prepare = (chunk: Part) => Promise<Prepared>;

/** The capability `tune` of a merge method. `V`: the values of its options. */
export interface Tuning<V = unknown> {
  /** The option, one value per model, that takes the coefficients. Its values are where learning begins. */
  readonly sets: string;
  /** Whether the method is nothing without data; otherwise it learns only when there is some. */
  readonly required: boolean;
  readonly steps: number;
  readonly rate: number;
  readonly descent: "adam" | "sgd";
  /** Whether the losses of the tasks are added up or averaged. */
  readonly over: "sum" | "mean";
  granularity(values: V): Granularity;
  /** Blocks of less depth keep the coefficients that they start with, and so does what stands before the stack. */
  fromDepth?(values: V): number;
  loss(values: V): LossName;
  free(given: Coefficients, values: V): FreeNumbers;
  /** The type of what `prepare` makes; that of the inputs when left out. */
  readonly preparedDtype?: "F32";
  /** What the coefficients multiply, where it is not the task vectors as they are. Sees all tensors, once. */
  prepare?(tensors: readonly TensorInputs<V>[]): Promise<((inputs: TensorInputs<V>) => Promise<Prepare>) | undefined>;
}
