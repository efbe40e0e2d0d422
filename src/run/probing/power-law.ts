/** A line through logarithms, by least squares. */

/** y ~ factor x^slope through points whose coordinates are all above 0; undefined for fewer than two different x. */
export function powerLaw(
  points: readonly (readonly [x: number, y: number])[],
): { readonly slope: number; readonly factor: number } | undefined {
  const [xs, ys] = [points.map(([x]) => Math.log(x)), points.map(([, y]) => Math.log(y))];
  const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;
  const [mx, my] = [mean(xs), mean(ys)];
  const square = xs.reduce((sum, x) => sum + (x - mx) ** 2, 0);
  if (!(square > 0)) return undefined;
  const slope = xs.reduce((sum, x, i) => sum + (x - mx) * (ys[i]! - my), 0) / square;
  return { slope, factor: Math.exp(my - slope * mx) };
}
