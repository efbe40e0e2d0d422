/**
 * What an optimizer is: named states per parameter, a kernel that updates one parameter in place or a rule in ops, and
 * the numbers that change from step to step. Every file of train/methods/optimizers exports one as `method`.
 *
 * Every kernel takes the clipping factor from the GPU, and leaves weights and states alone when it is 0 (a gradient
 * that is not finite), so nothing waits for a read-back.
 */
import type { Bound } from "../../method/bind.ts";
import { type Laws, sameClaim } from "../../method/laws.ts";
import type { Options, Values } from "../../method/options.ts";
import type { MethodInfo } from "../../method/registry.ts";
import type { Parameter } from "../../tensor/parameter.ts";
import { type Dynamic, dynamic, type Recorder, type StepParam } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";

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

/** What an optimizer reads of a parameter. */
export type Trained = Pick<Parameter, "name" | "shape" | "isHidden" | "heads">;

/** Shape of a state in f32, or of one in words. */
export type StateShape = readonly number[] | { readonly words: readonly number[] };

export interface RuleGiven<O extends Options = Options> {
  /** f32, of the parameter's shape, clipped. */
  readonly gradient: Tensor;
  /** The weights in f32. */
  readonly weight: () => Tensor;
  /** What the last step left, by name; 0 before the first. */
  readonly states: Readonly<Record<string, Tensor>>;
  /** A number of the step, by the name that `numbers` gives it. */
  readonly number: (name: string) => Dynamic;
  readonly values: Values<O>;
}

/** A step recorded with ops, for updates that are not of each value by itself. */
export interface OptimizerRule<O extends Options = Options> {
  /** Shapes of the states of a parameter. */
  states(parameter: Trained, values: Values<O>): Readonly<Record<string, StateShape>>;
  /** What the weights move against, and the states that it leaves. */
  record(
    rec: Recorder,
    given: RuleGiven<O>,
  ): { readonly update: Tensor; readonly states: Readonly<Record<string, Tensor>> };
}

/** What the numbers of a step follow from. */
export interface StepInfo {
  /** From 1. */
  readonly t: number;
  /** Learning rate. */
  readonly lr: number;
  readonly decay: number;
  /** Of parameters that share states: which of them, from 0; 0 when left out. */
  readonly turn?: number;
}

/** What is chosen anew every so many steps, before the step: a subspace, some coordinates. The first step is one. */
export interface Refresh<O extends Options = Options> {
  /** Steps from one to the next. */
  every(values: Values<O>): number;
  /** What the host puts into states of a parameter; `unit` draws numbers that seed, parameter and step choose. */
  fill?(
    parameter: Trained,
    values: Values<O>,
    unit: () => number,
  ): Readonly<Record<string, Float32Array | Uint32Array<ArrayBuffer>>>;
  /** States that follow from the gradient of the step, recorded after `fill`. */
  record?(rec: Recorder, given: Omit<RuleGiven<O>, "weight" | "number">): Readonly<Record<string, Tensor>>;
}

/** A state of a kernel that is smaller than the parameter. */
export interface PackedState {
  /** Values of the parameter for each of the state: a divisor of 16,384. */
  readonly per: number;
  readonly dtype: "f32" | "u32";
}

export interface Optimizer<O extends Options = Options> extends MethodInfo<O> {
  readonly laws: Laws<OptimizerLaw>;
  /** Kernel in wgsl/. Its bindings are gradient, clip, weight and the states. With a `rule` there is none. */
  readonly kernel?: string;
  /** States, by binding name; each as large as the parameter. */
  readonly states?: readonly string[];
  /** States of a kernel that are smaller than the parameter; the kernel takes `n`, the count of values, too. */
  readonly packed?: Readonly<Record<string, PackedState>>;
  /** In the place of a kernel: w <- shrink w - rate update, `shrink` and `rate` among the numbers. */
  readonly rule?: OptimizerRule<O>;
  /** Of a rule: what is chosen anew every so many steps. */
  readonly refresh?: Refresh<O>;
  /**
   * Of a rule: how many neighbouring parameters of one shape share one set of states, in which they take turns. `turn`
   * tells them apart.
   */
  turns?(values: Values<O>): number;
  /**
   * Of a rule: the weights that are measured and saved, where those are not the weights that are trained. Before the
   * first step they are the same.
   */
  measured?(rec: Recorder, given: Pick<RuleGiven<O>, "weight" | "states" | "values">): Tensor;
  /**
   * A state that is an estimate of the diagonal of the Hessian, made before steps by the trainer (curvature.ts): how
   * many steps lie between, how far weights are moved for it, and how much of it stays.
   */
  readonly curvature?: {
    readonly state: string;
    every(values: Values<O>): number;
    distance(values: Values<O>): number;
    keep(values: Values<O>): number;
  };
  /** Another optimizer for some parameters, and what its learning rate is, times this one's. */
  instead?(
    parameter: Trained,
    values: Values<O>,
  ): { readonly bound: Bound<Optimizer>; readonly rate: number } | undefined;
  /** Whether decay is a part of the gradient, so that it cannot be apart from the rate. */
  readonly decaysByGradient?: true;
  /** Names in a saved state, where PyTorch has one; the binding names otherwise. */
  readonly savedAs?: Readonly<Record<string, string>>;
  /** Params that never change. */
  fixed(values: Values<O>): Readonly<Record<string, number>>;
  /** Params of a step, for weights that decay by `decay` (0: none). */
  numbers(values: Values<O>, step: StepInfo): StepNumbers;
}

export const defineOptimizer = <const O extends Options>(optimizer: Optimizer<O>): Optimizer<O> => optimizer;

/** Optimizers, rates, decaying and other weights take different numbers: the name of the dynamic value of one. */
export const numberName = (key: string, param: string, decays: boolean): string =>
  `${key} ${param}.${decays ? "decay" : "plain"}`;

/** The dynamic params of one parameter's update. */
export const dynamicParams = (
  key: string,
  names: readonly string[],
  decays: boolean,
): Record<string, StepParam | Dynamic> =>
  Object.fromEntries(names.map((name) => [name, dynamic(numberName(key, name, decays))]));

declare module "../../method/registry.ts" {
  interface Contracts {
    optimizer: Optimizer;
  }
}
