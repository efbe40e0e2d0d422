/**
 * What a smoothing is: another way to the gradient of the forget loss, so that its solution lies in a flat place and a little relearning
 * does not undo it. Fan et al., ICML 2025, https://arxiv.org/abs/2502.05374. `--smooth sam` is sam.ts; the retain loss is never smoothed.
 */
import { type Laws, sameClaim } from "../method/laws.ts";
import type { Options, Values } from "../method/options.ts";
import type { MethodInfo } from "../method/registry.ts";
import type { Perturbation } from "../run/training/perturbation.ts";

/** What holds for every smoothing. */
export const SMOOTHING_LAWS = {
  plainAtZero: "a radius of 0 is the gradient itself, from one pass",
  plainWithoutWeight: "a penalty of weight 0 is the gradient itself, from one pass",
  weightsReturn: "the weights are as before afterwards, bit for bit, and one pass reports the step",
  sameForSeed: "one seed gives one gradient",
} as const;

export type SmoothingLaw = keyof typeof SMOOTHING_LAWS;

/** Claims all laws of a smoothing. A smoothing names its exceptions after it. */
export const EVERY_LAW = sameClaim(SMOOTHING_LAWS, true);

export interface Smoothing<O extends Options = Options> extends MethodInfo {
  readonly options: O;
  readonly laws: Laws<SmoothingLaw>;
  /** What it keeps of the weights and gradients, each a copy of the trained weights' size. */
  readonly keeps?: readonly string[];
  /**
   * Leaves the smoothed gradient of the forget loss in the gradients, and the weights as they were. `pass` runs forward and back at
   * the weights as they are, into fresh gradients, or on top of those there are; one of the calls reports the step's metrics.
   */
  gradients?(
    weights: Perturbation,
    pass: (options: { readonly fresh: boolean; readonly report: boolean }) => Promise<void>,
    given: { readonly values: Values<O>; readonly seed: number },
  ): Promise<void>;
  /** The result is the mean of the weights after all steps from this one on. */
  averageFrom?(values: Values<O>): number;
}

export const defineSmoothing = <const O extends Options>(smoothing: Smoothing<O>): Smoothing<O> => smoothing;

/** How far a smoothing looks: a radius, or a standard deviation. */
export const RHO = {
  type: "number >= 0",
  default: 0.01,
  help: "how far it looks from the weights",
  value: "R",
} as const;

/** Of smoothings that add a penalty to the loss. */
export const PENALTY = { type: "number >= 0", default: 10, help: "weight of the penalty", value: "C" } as const;

declare module "../method/registry.ts" {
  interface Contracts {
    smoothing: Smoothing;
  }
}
