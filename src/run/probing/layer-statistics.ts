/**
 * Figures of rows of a layer's values, in f64: how far they spread, how far the largest stands out, and how many
 * directions they fill.
 */
import { tridiagonalEigen } from "../../tensor/linear-algebra/tridiagonal-eigen.ts";

/** Mean squared distance of all values from their mean. */
export function varianceOf(values: ArrayLike<number>): number {
  let [sum, squares] = [0, 0];
  for (let i = 0; i < values.length; i++) sum += values[i]!;
  const mean = sum / values.length;
  for (let i = 0; i < values.length; i++) squares += (values[i]! - mean) ** 2;
  return squares / values.length;
}

/** The middle magnitude, of an even count the mean of the two in the middle. */
export function medianMagnitude(values: Float32Array): number {
  const sorted = values.map(Math.abs).sort();
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
}

export interface Ranks {
  /** exp of the entropy of the singular values' shares. */
  readonly effective: number;
  /** Sum of the squared singular values over the largest square. */
  readonly stable: number;
}

/**
 * How many directions the rows of a matrix (rows, width) fill: 0 of a matrix of zeros. Roy and Vetterli, The Effective
 * Rank, EUSIPCO 2007; Rudelson and Vershynin 2007 for the stable rank.
 */
export function ranksOf(values: Float32Array, width: number): Ranks {
  const rows = values.length / width;
  const n = Math.min(rows, width);
  const gram = new Float64Array(n * n);
  const at =
    rows <= width ? (i: number, k: number) => values[i * width + k]! : (i: number, k: number) => values[k * width + i]!;
  const length = Math.max(rows, width);
  for (let i = 0; i < n; i++)
    for (let j = 0; j <= i; j++) {
      let sum = 0;
      for (let k = 0; k < length; k++) sum += at(i, k) * at(j, k);
      gram[i * n + j] = sum;
      gram[j * n + i] = sum;
    }
  const squares = Array.from(tridiagonalEigen(gram, n).values, (value) => Math.max(0, value));
  const total = squares.reduce((a, b) => a + b, 0);
  if (total === 0) return { effective: 0, stable: 0 };
  const singular = squares.map(Math.sqrt);
  const sum = singular.reduce((a, b) => a + b, 0);
  const entropy = singular.reduce((all, s) => (s > 0 ? all - (s / sum) * Math.log(s / sum) : all), 0);
  return { effective: Math.exp(entropy), stable: total / Math.max(...squares) };
}
