/**
 * What a way to begin a LoRA adapter is: the A and B that a linear layer's training starts from, of the layer's own
 * weight. LoRA itself draws A and leaves B zero.
 *
 * Where s B A is not zero, it is taken out of the base, as in PiSSA: y = (W - s B0 A0) x + s B A x. The base's weight
 * stays as it is here: the frozen pair A0 and -B0 stands beside the trained one, and the file has both, as an adapter of
 * twice the rank that is right on the base itself. Without training the model is the base.
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
}

export interface AdapterInit<O extends Options = Options> extends MethodInfo<O> {
  /** Whether B is not zero, so that B A is taken out of the base. */
  readonly takesOut: boolean;
  begin(job: InitJob<Values<O>>): BegunFactors | Promise<BegunFactors>;
}

/** Declares one, with the types of its options. */
export const adapterInit = <const O extends Options>(init: AdapterInit<O>): AdapterInit<O> => init;

/** Calls a bound method. */
export const begun = async ({ method, values }: Bound<AdapterInit>, job: Omit<InitJob<never>, "values">) =>
  method.begin({ ...job, values });

declare module "../../method/registry.ts" {
  interface Contracts {
    "adapter-init": AdapterInit;
  }
}
