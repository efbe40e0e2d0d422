/**
 * What an optimizer is: named states per parameter, a kernel that updates one parameter in place, and the numbers that
 * change from step to step. Every file of train/methods/optimizers exports one as `method`.
 *
 * Every kernel takes the clipping factor from the GPU, and leaves weights and states alone when it is 0 (a gradient
 * that is not finite), so nothing waits for a read-back.
 */
import { type Laws, sameClaim } from "../../method/laws.ts";
import type { Options, Values } from "../../method/options.ts";
import type { MethodInfo } from "../../method/registry.ts";
import { type Dynamic, dynamic, type StepParam } from "../../tensor/recorder.ts";

/** Numbers of one step, computed in f64. */
export type StepNumbers = Readonly<Record<string, number>>;

/** What may hold for an optimizer, without clipping and under its defaults. */
export const OPTIMIZER_LAWS = {
  zeroRate: "a learning rate of 0 changes no weight",
  zeroGradient: "without decay, gradients of 0 from the start change no weight",
  decays: "with gradients of 0, decay brings every weight nearer to 0",
  descends: "steps on a parabola lower the loss",
  elementwise: "a weight moves by its own gradients alone",
  scaleFree: "gradients ten times as large give the same steps",
} as const;

export type OptimizerLaw = keyof typeof OPTIMIZER_LAWS;

/** Claims all laws of an optimizer. An optimizer names its exceptions after it. */
export const EVERY_OPTIMIZER_LAW = sameClaim(OPTIMIZER_LAWS, true);

export interface Optimizer<O extends Options = Options> extends MethodInfo<O> {
  readonly laws: Laws<OptimizerLaw>;
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
