/** A line through points in the logarithm of x, by least squares. */

export interface LogLaw {
  /** y = a ln x + b */
  readonly a: number;
  readonly b: number;
  /** Share of the variance of y that it explains; NaN where y does not vary. */
  readonly r2: number;
}

/** Undefined of fewer than two different x. */
export function logLaw(points: readonly { readonly x: number; readonly y: number }[]): LogLaw | undefined {
  if (new Set(points.map(({ x }) => x)).size < 2) return undefined;
  const logs = points.map(({ x }) => Math.log(x));
  const mean = (values: readonly number[]) => values.reduce((sum, v) => sum + v, 0) / values.length;
  const [middle, height] = [mean(logs), mean(points.map(({ y }) => y))];
  let [both, across, up] = [0, 0, 0];
  for (const [i, { y }] of points.entries()) {
    both += (logs[i]! - middle) * (y - height);
    across += (logs[i]! - middle) ** 2;
    up += (y - height) ** 2;
  }
  return { a: both / across, b: height - (both / across) * middle, r2: both ** 2 / (across * up) };
}
