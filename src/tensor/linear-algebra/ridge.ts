/** Ridge regression with an intercept that is not shrunk, in f64 on the host: n d^2 + d^3 multiplications. */
import { symmetricInverse } from "./cholesky.ts";

/** y = intercept + sum_j weights_j x_j. */
export interface LinearFit {
  readonly intercept: number;
  readonly weights: readonly number[];
}

/**
 * The fit of least sum of squared errors plus lambda times the mean square of the centred values and the squares of the
 * weights. Throws RangeError for no rows. Of values that never change the weight is 0.
 */
export function ridge(x: readonly (readonly number[])[], y: readonly number[], lambda = 1e-6): LinearFit {
  const n = x.length;
  if (n === 0) throw new RangeError("no rows to fit");
  const d = x[0]!.length;
  const mean = (of: (row: number) => number) => {
    let sum = 0;
    for (let row = 0; row < n; row++) sum += of(row);
    return sum / n;
  };
  const centre = Array.from({ length: d }, (_, j) => mean((row) => x[row]![j]!));
  const level = mean((row) => y[row]!);
  if (d === 0) return { intercept: level, weights: [] };
  const gram = new Float64Array(d * d);
  const cross = new Float64Array(d);
  for (const [row, values] of x.entries())
    for (let i = 0; i < d; i++) {
      const own = values[i]! - centre[i]!;
      cross[i]! += own * (y[row]! - level);
      for (let j = 0; j < d; j++) gram[i * d + j]! += own * (values[j]! - centre[j]!);
    }
  const size = Array.from({ length: d }, (_, i) => gram[i * d + i]!).reduce((a, b) => a + b, 0) / d;
  for (let i = 0; i < d; i++) gram[i * d + i]! += lambda * size + 1e-300;
  const inverse = symmetricInverse(gram, d);
  if (!inverse) throw new RangeError("values depend on each other; raise the penalty");
  const weights = Array.from({ length: d }, (_, i) => cross.reduce((sum, c, j) => sum + inverse[i * d + j]! * c, 0));
  return { weights, intercept: weights.reduce((left, w, j) => left - w * centre[j]!, level) };
}

export const predicted = ({ intercept, weights }: LinearFit, x: readonly number[]): number =>
  weights.reduce((sum, w, j) => sum + w * x[j]!, intercept);
