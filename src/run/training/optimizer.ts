/**
 * What an optimizer is: named states per parameter, a kernel that updates one parameter in place, and the numbers that
 * change from step to step. A file of this folder that exports `optimizer` is one; `--optimizer adamw` is adamw.ts.
 *
 * Every kernel takes the clipping factor from the GPU, and leaves weights and states alone when it is 0 (a gradient
 * that is not finite), so nothing waits for a read-back.
 */
import type { Options, Values } from "../../method/options.ts";
import { type Dynamic, dynamic, type StepParam } from "../../tensor/recorder.ts";

/** Numbers of one step, computed in f64. */
export type StepNumbers = Readonly<Record<string, number>>;

export interface Optimizer<O extends Options = Options> {
  readonly name: string;
  readonly title: string;
  readonly about: string;
  readonly cite: string;
  readonly options: O;
  /** Kernel in wgsl/. Its bindings are gradient, clip, weight and the states. */
  readonly kernel: string;
  /** States, by binding name; each as large as the parameter. */
  readonly states: readonly string[];
  /** Names in a saved state, where PyTorch has one; the binding names otherwise. */
  readonly savedAs?: Readonly<Record<string, string>>;
  /** Params that never change. */
  fixed(values: Values<O>): Readonly<Record<string, number>>;
  /** Params of step t (from 1) at learning rate `lr`, for weights that decay by `decay` (0: none). */
  numbers(values: Values<O>, step: { readonly t: number; readonly lr: number; readonly decay: number }): StepNumbers;
}

export const defineOptimizer = <const O extends Options>(optimizer: Optimizer<O>): Optimizer<O> => optimizer;

/** Decaying and other weights take different numbers: the name of the dynamic value of one of them. */
export const numberName = (param: string, decays: boolean): string => `${param}.${decays ? "decay" : "plain"}`;

/** The dynamic params of one parameter's update. */
export const dynamicParams = (names: readonly string[], decays: boolean): Record<string, StepParam | Dynamic> =>
  Object.fromEntries(names.map((name) => [name, dynamic(numberName(name, decays))]));

declare module "../../method/registry.ts" {
  interface Contracts {
    optimizer: Optimizer;
  }
}
