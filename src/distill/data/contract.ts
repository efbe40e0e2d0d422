/**
 * What a method of `distill --target data` is: how a few rows are made that teach a model what many do, or what a
 * trained model holds. Each file of syntheses/ is one: `--method ast` is ast.ts.
 *
 * The frame reads rows and model, checks them, and writes what a method makes as rows that `train` reads.
 */
import type { Options, Values } from "../../method/options.ts";
import type { MethodInfo } from "../../method/registry.ts";
import type { Network } from "../../run/twice/network.ts";
import type { Weights } from "../../run/twice/pass.ts";

/** Real rows of classes, on the host. */
export interface RealRows {
  /** (n, inputs) */
  readonly x: Float64Array;
  readonly labels: readonly number[];
}

export interface SynthesisSetting<V = unknown> {
  readonly network: Network;
  /** Of a trained model; undefined where a config alone is given. */
  readonly weights: Weights | undefined;
  /** Undefined where none were given. */
  readonly rows: RealRows | undefined;
  readonly values: V;
  readonly perClass: number;
  readonly steps: number;
  readonly seed: number;
  readonly signal: AbortSignal;
  /** One of `steps` is done, and what it measured. */
  done(loss: number): void;
  info(text: string): void;
}

export interface Synthetic {
  /** (m, inputs) */
  readonly x: Float64Array;
  readonly labels: readonly number[];
  /** The learning rate that they are to be learnt with, where the method says. */
  readonly rate?: number;
  /** Steps of plain gradient descent over all of them that they were made for, where the method says. */
  readonly steps?: number;
  /** Figures for the result as JSON. */
  readonly told?: Readonly<Record<string, number>>;
}

export interface SynthesisMethod<O extends Options = Options> extends MethodInfo<O> {
  /** What it begins at: a config, of which it trains models itself, or a trained model. Others are refused. */
  readonly model: "config" | "trained" | "either";
  /** Whether it reads real rows. */
  readonly rows: "needed" | "none" | "may";
  /** Steps where --steps does not say. */
  readonly steps: number;
  /** Throws UserError for values that do not go together, or with the network. */
  check?(values: Values<O>, network: Network): void;
  make(setting: SynthesisSetting<Values<O>>): Synthetic | Promise<Synthetic>;
}

/** Declares a method; infers the types of its options. */
export const synthesisMethod = <const O extends Options>(method: SynthesisMethod<O>): SynthesisMethod<O> => method;

declare module "../../method/registry.ts" {
  interface Contracts {
    synthesis: SynthesisMethod;
  }
}
