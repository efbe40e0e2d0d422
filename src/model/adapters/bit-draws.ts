/**
 * Bits of every layer of a step, so that means over the layers come up about as often from the least bits to the most:
 * bits that layers draw alike have means close about the middle, and models of few or many bits are hardly trained.
 *
 *   m = centre_k(step) + noise, k one of three         the target, reflected at both ends
 *   p_b ~ exp(eta b), sum over b of b p_b = m          every layer draws from it
 *
 * Centres go over the range and back, a third of the way apart, eight times in a training. Layers draw in strata: each
 * has the probabilities p, and their mean is nearer to m than that of draws on their own.
 */
import { keyedUnits } from "../../keyed-random.ts";

const CENTRES = 3;
const SWEEPS = 8;
/** Of the noise, as a share of the range. */
const SPREAD = 0.08;
/** Beyond it a tilt leaves the end alone. */
const STEEPEST = 60;

export interface DrawnStep {
  /** From 1. */
  readonly step: number;
  /** Of the training. */
  readonly steps: number;
  readonly seed: number;
}

/** A place in [0, 1], folded back at both ends. */
const reflected = (x: number): number => {
  const turned = ((x % 2) + 2) % 2;
  return turned > 1 ? 2 - turned : turned;
};

/** Probabilities of values, ascending, whose mean is m: p ~ exp(eta value). */
export function tilted(values: readonly number[], m: number): number[] {
  const middle = (values[0]! + values.at(-1)!) / 2;
  const at = (eta: number): number[] => {
    const weights = values.map((value) => Math.exp(eta * (value - middle)));
    const total = weights.reduce((a, b) => a + b);
    return weights.map((weight) => weight / total);
  };
  let [low, high] = [-STEEPEST, STEEPEST];
  for (let i = 0; i < 60; i++) {
    const eta = (low + high) / 2;
    if (at(eta).reduce((sum, p, k) => sum + p * values[k]!, 0) < m) low = eta;
    else high = eta;
  }
  return at((low + high) / 2);
}

/** The place among the bits, ascending, that every layer of a step has. */
export function drawBits({ step, steps, seed }: DrawnStep, layers: number, bits: readonly number[]): number[] {
  const unit = keyedUnits(seed, `bits of step ${step}`);
  const [least, most] = [bits[0]!, bits.at(-1)!];
  const phase = ((step - 1) * SWEEPS) / Math.max(SWEEPS, steps) + Math.floor(CENTRES * unit()) / CENTRES;
  const noise = SPREAD * Math.sqrt(-2 * Math.log(1 - unit())) * Math.cos(2 * Math.PI * unit());
  const p = tilted(bits, least + (most - least) * reflected(2 * phase + noise));
  const strata = Array.from({ length: layers }, (_, i) => i);
  for (let i = layers - 1; i > 0; i--) {
    const other = Math.floor((i + 1) * unit());
    [strata[i], strata[other]] = [strata[other]!, strata[i]!];
  }
  return strata.map((stratum) => {
    let left = (stratum + unit()) / layers;
    const place = p.findIndex((share) => {
      left -= share;
      return left < 0;
    });
    return place < 0 ? bits.length - 1 : place;
  });
}

/** Bits of layers in their order, of which the running mean stays as near to m as can be. */
export function spreadBits(layers: number, bits: readonly number[], m: number): number[] {
  let sum = 0;
  return Array.from({ length: layers }, (_, i) => {
    const off = (b: number) => Math.abs(sum + b - (i + 1) * m);
    const own = bits.reduce((best, b) => (off(b) < off(best) ? b : best));
    sum += own;
    return own;
  });
}
