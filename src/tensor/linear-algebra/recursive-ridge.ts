/**
 * Ridge regression that learns rows and takes rows out again, in f64 on the host, each exactly as a fit of all rows
 * that are left:
 *
 *   R = (Phi^T Phi + lambda I)^-1                W = R Phi^T Y
 *   learn     R <- R - R A^T (I + A R A^T)^-1 A R    W <- W + R A^T (Y_a - A W)
 *   take out  R <- R + R A^T (I - A R A^T)^-1 A R    W <- W - R A^T (Y_a - A W)
 *
 * with R of the left side already new. Woodbury, "Inverting Modified Matrices", 1950. I - A R A^T is positive definite
 * wherever the rows are in the sum.
 */
import { choleskyFactor, symmetricInverse } from "./cholesky.ts";

/** Rows of features (count, M), and what is to be said of them (count, C). */
export interface RidgeRows {
  readonly count: number;
  readonly features: Float64Array;
  readonly targets: Float64Array;
}

export interface RidgeFit {
  /** M */
  readonly width: number;
  /** C */
  readonly outputs: number;
  /** R, (M, M), symmetric. */
  readonly inverse: Float64Array;
  /** W, (M, C) */
  readonly weights: Float64Array;
}

/** Most rows of one update. */
export const RIDGE_ROWS = 256;

/** A pivot that is not above this is no pivot of rows that are in the sum. */
const LEAST = 1e-12;

/** (n, k) (k, m) -> (n, m) */
function product(a: Float64Array, b: Float64Array, [n, k, m]: readonly [number, number, number]): Float64Array {
  const out = new Float64Array(n * m);
  for (let i = 0; i < n; i++)
    for (let at = 0; at < k; at++) {
      const factor = a[i * k + at]!;
      if (factor !== 0) for (let j = 0; j < m; j++) out[i * m + j]! += factor * b[at * m + j]!;
    }
  return out;
}

/** Adds a^T b to `out` (k, m): a (n, k), b (n, m). */
function addTransposed(
  out: Float64Array,
  a: Float64Array,
  b: Float64Array,
  [n, k, m]: readonly [number, number, number],
  sign = 1,
): void {
  for (let row = 0; row < n; row++)
    for (let i = 0; i < k; i++) {
      const factor = sign * a[row * k + i]!;
      if (factor !== 0) for (let j = 0; j < m; j++) out[i * m + j]! += factor * b[row * m + j]!;
    }
}

/** Sums over rows, of which a fit is made at once. */
export class RidgeSums {
  readonly #width: number;
  readonly #outputs: number;
  readonly #gram: Float64Array;
  readonly #cross: Float64Array;

  constructor(width: number, outputs: number) {
    this.#width = width;
    this.#outputs = outputs;
    this.#gram = new Float64Array(width * width);
    this.#cross = new Float64Array(width * outputs);
  }

  add({ count, features, targets }: RidgeRows): void {
    addTransposed(this.#gram, features, features, [count, this.#width, this.#width]);
    addTransposed(this.#cross, features, targets, [count, this.#width, this.#outputs]);
  }

  /** Throws RangeError where lambda is too small for these rows. */
  fit(lambda: number): RidgeFit {
    const [width, outputs] = [this.#width, this.#outputs];
    const sum = this.#gram.slice();
    for (let i = 0; i < width; i++) sum[i * width + i]! += lambda;
    const inverse = symmetricInverse(sum, width);
    if (!inverse) throw new RangeError(`rows depend on each other, and a ridge of ${lambda} is too small for them`);
    return { width, outputs, inverse, weights: product(inverse, this.#cross, [width, width, outputs]) };
  }
}

/** Row r of `rows` to row `end`. */
const part = ({ features, targets, count }: RidgeRows, from: number, end: number): RidgeRows => ({
  count: end - from,
  features: features.subarray((from * features.length) / count, (end * features.length) / count),
  targets: targets.subarray((from * targets.length) / count, (end * targets.length) / count),
});

/** One update of a fit, in place; false, and nothing changes, where rows are taken out that are not in it. */
function update(fit: RidgeFit, { count, features, targets }: RidgeRows, sign: 1 | -1): boolean {
  const { width, outputs, inverse, weights } = fit;
  const seen = product(features, inverse, [count, width, width]); // A R, (a, M)
  const inner = new Float64Array(count * count);
  for (let i = 0; i < count; i++)
    for (let j = 0; j <= i; j++) {
      let sum = 0;
      for (let k = 0; k < width; k++) sum += seen[i * width + k]! * features[j * width + k]!;
      inner[i * count + j] = (i === j ? 1 : 0) + sign * sum;
      inner[j * count + i] = inner[i * count + j]!;
    }
  const l = choleskyFactor(inner, count, LEAST);
  if (!l) return false;
  // L^-1 A R, whose square is what R changes by.
  for (let i = 0; i < count; i++) {
    for (let k = 0; k < i; k++) {
      const factor = l[i * count + k]!;
      if (factor !== 0) for (let j = 0; j < width; j++) seen[i * width + j]! -= factor * seen[k * width + j]!;
    }
    for (let j = 0; j < width; j++) seen[i * width + j]! /= l[i * count + i]!;
  }
  addTransposed(inverse, seen, seen, [count, width, width], -sign);
  const said = product(features, weights, [count, width, outputs]);
  const left = targets.map((y, i) => y - said[i]!);
  const pulled = new Float64Array(width * outputs);
  addTransposed(pulled, features, left, [count, width, outputs]);
  const moved = product(inverse, pulled, [width, width, outputs]);
  for (let i = 0; i < weights.length; i++) weights[i]! += sign * moved[i]!;
  return true;
}

const inParts = (fit: RidgeFit, rows: RidgeRows, sign: 1 | -1): boolean => {
  for (let from = 0; from < rows.count; from += RIDGE_ROWS)
    if (!update(fit, part(rows, from, Math.min(rows.count, from + RIDGE_ROWS)), sign)) return false;
  return true;
};

/** Learns rows, in place. */
export const learnRows = (fit: RidgeFit, rows: RidgeRows): void => {
  inParts(fit, rows, 1);
};

/** Takes rows out, in place; false where they were never learnt, after which the fit is of no use. */
export const takeOutRows = (fit: RidgeFit, rows: RidgeRows): boolean => inParts(fit, rows, -1);
