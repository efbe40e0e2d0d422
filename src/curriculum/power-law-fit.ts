/** A loss that falls by a power law towards a floor, fitted to what was measured. */

export interface PowerLaw {
  readonly floor: number;
  readonly scale: number;
  readonly exponent: number;
}

/** L(n) = floor + scale n^(-exponent). */
export const powerLawAt = ({ floor, scale, exponent }: PowerLaw, n: number): number => floor + scale * n ** -exponent;

/** How fast the loss falls at n: -dL/dn. */
export const powerLawSlope = ({ scale, exponent }: PowerLaw, n: number): number =>
  exponent * scale * n ** (-exponent - 1);

/** Least squares for a given exponent, floor and scale >= 0; the sum of squares with them. */
function linear(
  points: readonly (readonly [number, number])[],
  exponent: number,
): PowerLaw & { readonly error: number } {
  const xs = points.map(([n]) => n ** -exponent);
  const meanX = xs.reduce((a, b) => a + b, 0) / xs.length;
  const mean = points.reduce((sum, [, loss]) => sum + loss, 0) / xs.length;
  const square = xs.reduce((sum, x) => sum + (x - meanX) ** 2, 0);
  const across = xs.reduce((sum, x, i) => sum + (x - meanX) * points[i]![1], 0);
  let scale = square > 0 ? Math.max(0, across / square) : 0;
  let floor = mean - scale * meanX;
  if (floor < 0) {
    floor = 0;
    scale = xs.reduce((sum, x, i) => sum + x * points[i]![1], 0) / xs.reduce((sum, x) => sum + x * x, 0);
  }
  const error = xs.reduce((sum, x, i) => sum + (floor + scale * x - points[i]![1]) ** 2, 0);
  return { floor, scale, exponent, error };
}

/**
 * The power law that is nearest to points (n > 0, loss): exponents from 0.02 to 4 on a grid, then thrice finer around
 * the best.
 */
export function fitPowerLaw(points: readonly (readonly [number, number])[]): PowerLaw {
  if (points.length < 3) throw new RangeError(`a power law needs 3 points, found ${points.length}`);
  let [low, high] = [Math.log(0.02), Math.log(4)];
  let best = linear(points, 1);
  for (let pass = 0; pass < 4; pass++) {
    const step = (high - low) / 32;
    for (let i = 0; i <= 32; i++) {
      const law = linear(points, Math.exp(low + i * step));
      if (law.error < best.error) best = law;
    }
    [low, high] = [Math.log(best.exponent) - step, Math.log(best.exponent) + step];
  }
  return { floor: best.floor, scale: best.scale, exponent: best.exponent };
}
