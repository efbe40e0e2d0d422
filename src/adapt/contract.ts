/**
 * What a kind of combination is: from the low-rank changes that adapters make to one module, and a weight for each, to
 * one low-rank change. Each file of methods/ is one: `adapt combine --method ties-svd` is ties-svd.ts.
 */
import type { Options, Values } from "../method/options.ts";
import type { MethodInfo } from "../method/registry.ts";
import type { HostMatrix, Triplets } from "../tensor/linear-algebra/leading-svd.ts";
import type { FloatMatrix } from "../tensor/linear-algebra/truncated-svd.ts";

/** The change that one adapter makes to the module: scale B A. */
export interface Part {
  /** (r, in) */
  readonly a: HostMatrix;
  /** (out, r) */
  readonly b: HostMatrix;
  readonly scale: number;
  /** As given, without the scale. */
  readonly weight: number;
}

/** A change B A. */
export interface Product {
  readonly a: HostMatrix;
  readonly b: HostMatrix;
}

/** One module, and what a combination may use. */
export interface CombineJob<V> {
  /** Of the adapters that change the module, in their order. */
  readonly parts: readonly Part[];
  readonly out: number;
  readonly into: number;
  /** Largest rank of the result, for kinds that choose it. */
  readonly rank: number;
  readonly values: V;
  /** Faults of PEFT are reproduced. */
  readonly compat: boolean;
  /** Numbers in [0, 1) of part k; `what` tells draws of one part apart. */
  random(k: number, what: string): () => number;
  /** The leading triplets, at most `most`. */
  svd(matrix: FloatMatrix, most: number): Promise<Triplets>;
}

/** Which rank the result has: that of all adapters, the sum of those that change a module, or what is asked for. */
export type Ranks = "equal" | "sum" | "chosen";

export interface CombineMethod extends MethodInfo {
  readonly ranks: Ranks;
  /** Makes the whole change of each adapter, (out, in), and decomposes one. */
  readonly whole?: true;
  /** Memory: a module's parts, with `whole` their changes too, in f64. */
  // biome-ignore lint/suspicious/noExplicitAny: the values are those of the method's own options
  combine(job: CombineJob<any>): Promise<Product>;
}

/** A kind of combination with the types of its options. */
export interface TypedCombineMethod<O extends Options> extends CombineMethod {
  readonly options: O;
  combine(job: CombineJob<Values<O>>): Promise<Product>;
}

/** Declares a kind of combination; infers the types of its options. */
export const combineMethod = <const O extends Options>(method: TypedCombineMethod<O>): TypedCombineMethod<O> => method;

declare module "../method/registry.ts" {
  interface Contracts {
    adapt: CombineMethod;
  }
}
