/**
 * What a way to begin a LoRA adapter is: the A and B that a linear layer's training starts from, of the layer's own
 * weight, or the A of all layers, of what they read. LoRA itself draws A and leaves B zero.
 *
 * Where s B A is not zero, it is taken out of the base, as in PiSSA: y = (W - s B0 A0) x + s B A x. The base's weight
 * stays as it is here: the frozen pair A0 and -B0 stands beside the trained one, and the file has both, as an adapter
 * of twice the rank that is right on the base itself. Without training the model is the base.
 */
import type { Gpu } from "../../gpu/gpu.ts";
import type { Bound } from "../../method/bind.ts";
import type { Options, Values } from "../../method/options.ts";
import type { MethodInfo } from "../../method/registry.ts";
import type { HostMatrix } from "../../tensor/linear-algebra/leading-svd.ts";
import type { FloatMatrix } from "../../tensor/linear-algebra/truncated-svd.ts";

/** The layer that an adapter begins on. */
export interface InitJob<V> {
  /** W (out, in). */
  readonly weight: FloatMatrix;
  readonly rank: number;
  /** s: alpha / rank, or alpha / sqrt(rank). */
  readonly scale: number;
  readonly gpu: Gpu;
  readonly values: V;
}

/** At most `rank` rows of A (k, in) and columns of B (out, k). The ranks that are left begin as LoRA's. */
export interface BegunFactors {
  readonly a: HostMatrix;
  /** Zero when left out, and then nothing is taken out of the base. */
  readonly b?: HostMatrix;
  /** W (out, in) as the base has it from now on, in memory alone: rounded, so that s B A makes up for it. */
  readonly rounded?: Float32Array;
}

/** A way that looks at the weights, one by one. */
export interface WeightInit<O extends Options = Options> extends MethodInfo<O> {
  readonly needs: "weight";
  /** Whether B is not zero, so that B A is taken out of the base. */
  readonly takesOut: boolean;
  /** Of a way that rounds the base; it takes nothing out. */
  readonly rounding?: {
    /** Where the rounded base is written; undefined: nowhere. Throws UserError where it must be. */
    base(values: Values<O>): string | undefined;
    /** What the adapter goes with, where no base is written. */
    readonly said: string;
  };
  begin(job: InitJob<Values<O>>): BegunFactors | Promise<BegunFactors>;
}

/** The principal components of what a layer reads, about its mean. */
export interface LayerInputs {
  readonly module: string;
  /** Singular values of the centred inputs, falling. */
  readonly s: Float64Array;
  /** A component (in) in each row. */
  readonly components: HostMatrix;
  /** Sum of the squares of the centred inputs. */
  readonly total: number;
}

export interface PlanJob<V> {
  /** In the model's order. */
  readonly layers: readonly LayerInputs[];
  readonly rank: number;
  readonly values: V;
}

/** A way that looks at what all layers read while the model reads rows of the training data; B is zero. */
export interface InputInit<O extends Options = Options> extends MethodInfo<O> {
  readonly needs: "inputs";
  readonly takesOut: false;
  /** Most components of a layer, and how many rows are read. */
  asks(rank: number, values: Values<O>): { readonly components: number; readonly rows: number };
  /** A of every layer that is adapted. Its rows are the layer's rank. */
  plan(job: PlanJob<Values<O>>): ReadonlyMap<string, BegunFactors>;
}

/** The layer that an adapter begins on, and what was measured of it. */
export interface MeasuredJob<V> extends InitJob<V> {
  /** The mean of x x^T over what the layer reads (in, in), or the gradient of W (out, in). */
  readonly measured: FloatMatrix;
}

/**
 * A way that looks at each layer's weight and at what rows of the training data say of it: the covariance of what the
 * layer reads, or the gradient of the weight.
 */
export interface MeasuredInit<O extends Options = Options> extends MethodInfo<O> {
  readonly needs: "covariance" | "gradient";
  readonly takesOut: true;
  /** How many rows are read. */
  asks(rank: number, values: Values<O>): { readonly rows: number };
  begin(job: MeasuredJob<Values<O>>): Promise<BegunFactors>;
}

export type AdapterInit<O extends Options = Options> = WeightInit<O> | InputInit<O> | MeasuredInit<O>;

/** Those that read rows of the training data before the adapter begins. */
export type DataInit = InputInit | MeasuredInit;

/** Declares one that looks at weights, with the types of its options. */
export const adapterInit = <const O extends Options>(init: Omit<WeightInit<O>, "needs">): WeightInit<O> => ({
  ...init,
  needs: "weight",
});

/** Declares one that looks at inputs. */
export const inputInit = <const O extends Options>(init: Omit<InputInit<O>, "needs" | "takesOut">): InputInit<O> => ({
  ...init,
  needs: "inputs",
  takesOut: false,
});

/** Declares one that looks at weights and at what data say of them. */
export const measuredInit = <const O extends Options>(init: Omit<MeasuredInit<O>, "takesOut">): MeasuredInit<O> => ({
  ...init,
  takesOut: true,
});

/** Where a way to begin writes the base that it rounds. Throws UserError where it must be told. */
export const roundedBase = (init: Bound<AdapterInit> | undefined): string | undefined =>
  init?.method.needs === "weight" ? init.method.rounding?.base(init.values) : undefined;

/** Calls a bound method of weights. */
export const begun = async (method: WeightInit, job: InitJob<never>) => method.begin(job);

declare module "../../method/registry.ts" {
  interface Contracts {
    "adapter-init": AdapterInit;
  }
}
