/**
 * What a smoothing is: another way to the gradient of the forget loss, so that its solution lies in a flat place and a
 * little relearning does not undo it. Fan et al., ICML 2025, https://arxiv.org/abs/2502.05374. `--smooth sam` is
 * sam.ts; the retain loss is never smoothed.
 */
import type { Gpu } from "../gpu/gpu.ts";
import { type Laws, sameClaim } from "../method/laws.ts";
import type { Options, Values } from "../method/options.ts";
import type { MethodInfo } from "../method/registry.ts";
import { Perturbation } from "../run/training/perturbation.ts";
import type { Pass, UpdateRule } from "../run/training/update-rule.ts";
import type { Parameter } from "../tensor/parameter.ts";

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

/** What a smoothing works with. */
export interface SmoothingSetup<O extends Options = Options> {
  readonly gpu: Gpu;
  /** The weights that are trained. */
  readonly parameters: readonly Parameter[];
  readonly values: Values<O>;
  readonly seed: number;
  /** Steps of the run. */
  readonly steps: number;
}

export interface Smoothing<O extends Options = Options> extends MethodInfo<O> {
  readonly laws: Laws<SmoothingLaw>;
  /** Whether the result is a mean of the weights on the way, of which held-out losses know nothing. */
  readonly averages?: boolean;
  /** Its rule in one run. Throws UserError for weights or options that do not suit it. */
  rule(setup: SmoothingSetup<O>): UpdateRule;
}

export const defineSmoothing = <const O extends Options>(smoothing: Smoothing<O>): Smoothing<O> => smoothing;

/** How far a smoothing looks. */
export const radius = <const R extends number>(usual: R) =>
  ({ type: "number >= 0", default: usual, help: "how far smoothing looks", value: "R" }) as const;

/** Weight of a smoothing's penalty. */
export const PENALTY = { type: "number >= 0", default: 10, help: "weight of the penalty", value: "C" } as const;

/**
 * The rule of a smoothing that moves the weights and puts them back. `make` leaves the smoothed gradient of the forget
 * loss in the gradients; `keeps` names what it keeps of weights and gradients, each a copy of the trained weights'
 * size.
 */
export function movingRule<O extends Options>(
  { gpu, parameters, values, seed }: SmoothingSetup<O>,
  keeps: readonly string[],
  make: (weights: Perturbation, pass: Pass, given: Values<O> & { readonly seed: number }) => Promise<void>,
): UpdateRule {
  const weights = new Perturbation(gpu, parameters, keeps);
  return {
    name: "smoothing",
    parts: ["forget"],
    part: (step, pass) => make(weights, pass, { ...values, seed: seed + step }),
    bytes: weights.bytes,
    free: () => weights.free(),
  };
}

declare module "../method/registry.ts" {
  interface Contracts {
    smoothing: Smoothing;
  }
}
