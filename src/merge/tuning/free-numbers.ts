/** Ways in which coefficients follow from the numbers that are learnt. All in f64, on the host: there are few. */
import type { Coefficients, FreeNumbers } from "./contract.ts";

/** The coefficients themselves; with `range`, kept within it. */
export function plain({ start }: Coefficients, range?: readonly [number, number]): FreeNumbers {
  return {
    start: start.slice(),
    coefficients: (free) => free.slice(),
    back: (_, gradient) => gradient.slice(),
    ...(range && {
      clamp(free) {
        for (const [i, value] of free.entries()) free[i] = Math.min(range[1], Math.max(range[0], value));
      },
    }),
  };
}

/** In each group the numbers divided by their sum. Throws RangeError where a sum is 0. */
export function normalized({ models, start }: Coefficients): FreeNumbers {
  const sums = (free: Float64Array) =>
    Float64Array.from({ length: free.length / models }, (_, g) => {
      const sum = free.subarray(g * models, (g + 1) * models).reduce((a, b) => a + b, 0);
      if (sum === 0) throw new RangeError("coefficients that sum to 0 cannot be normalized");
      return sum;
    });
  const coefficients = (free: Float64Array) => {
    const all = sums(free);
    return free.map((value, i) => value / all[Math.floor(i / models)]!);
  };
  return {
    start: start.slice(),
    coefficients,
    back(free, gradient) {
      const all = sums(free);
      const c = coefficients(free);
      const along = all.map((_, g) => {
        let sum = 0;
        for (let i = g * models; i < (g + 1) * models; i++) sum += gradient[i]! * c[i]!;
        return sum;
      });
      return gradient.map((value, i) => {
        const g = Math.floor(i / models);
        return (value - along[g]!) / all[g]!;
      });
    },
  };
}

export interface SimplexOptions {
  /** Whether the scale is learnt too. */
  readonly learnsScale: boolean;
  /** Weight of (scale - 1)^2 in the loss. */
  readonly pull: number;
}

/**
 * scale * softmax(a), the same in every group: the shares of the models sum to 1, and one number scales all of them.
 * The free numbers are a (K), then the scale. Shares begin as the first group's coefficients, which must be positive,
 * the scale as their sum.
 */
export function scaledSimplex({ models, start }: Coefficients, { learnsScale, pull }: SimplexOptions): FreeNumbers {
  const groups = start.length / models;
  const first = start.subarray(0, models);
  if (!first.every((value) => value > 0)) throw new RangeError("shares of a simplex are positive");
  const total = first.reduce((a, b) => a + b, 0);
  const softmax = (free: Float64Array) => {
    const a = free.subarray(0, models);
    const most = a.reduce((x, y) => Math.max(x, y), Number.NEGATIVE_INFINITY);
    const powers = a.map((value) => Math.exp(value - most));
    const sum = powers.reduce((x, y) => x + y, 0);
    return powers.map((value) => value / sum);
  };
  return {
    start: Float64Array.of(...first.map((value) => Math.log(value / total)), total),
    coefficients(free) {
      const shares = softmax(free);
      return Float64Array.from({ length: groups * models }, (_, i) => free[models]! * shares[i % models]!);
    },
    back(free, gradient) {
      const shares = softmax(free);
      const scale = free[models]!;
      const summed = new Float64Array(models);
      for (const [i, value] of gradient.entries()) summed[i % models]! += value;
      const along = shares.reduce((sum, share, k) => sum + share * summed[k]!, 0);
      const own = shares.map((share, k) => scale * share * (summed[k]! - along));
      return Float64Array.of(...own, learnsScale ? along + 2 * pull * (scale - 1) : 0);
    },
    penalty: (free) => (learnsScale ? pull * (free[models]! - 1) ** 2 : 0),
  };
}
