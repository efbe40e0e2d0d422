/** Ridge regression in float64 on the host, by the normal equations. Hoerl and Kennard 1970, doi:10.2307/1267351. */
import { symmetricInverse } from "../../tensor/linear-algebra/cholesky.ts";

/** A pivot below this share of the largest entry is nothing but rounding. */
const ROUNDING = 1e-12;

/** Rows of one length, of which each is a list of numbers. */
export type Rows = readonly (Float64Array | Float32Array)[];

/**
 * (k) weights that least squares gives with a penalty of `penalty` times their squares, but for that of the first
 * column, which is to hold ones. Throws RangeError for no rows and for a penalty that leaves the equations singular.
 */
export function ridge(x: Rows, y: ArrayLike<number>, penalty: number): Float64Array {
  const k = x[0]?.length ?? 0;
  if (k === 0) throw new RangeError("ridge needs rows with columns");
  const gram = new Float64Array(k * k);
  const right = new Float64Array(k);
  for (const [n, row] of x.entries())
    for (let i = 0; i < k; i++) {
      right[i]! += row[i]! * y[n]!;
      for (let j = 0; j <= i; j++) gram[i * k + j]! += row[i]! * row[j]!;
    }
  for (let i = 0; i < k; i++) {
    if (i > 0) gram[i * k + i]! += penalty;
    for (let j = 0; j < i; j++) gram[j * k + i] = gram[i * k + j]!;
  }
  const largest = gram.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const inverse = symmetricInverse(gram, k, ROUNDING * largest);
  if (!inverse)
    throw new RangeError(`the columns of ${x.length} rows depend on each other, and the penalty is ${penalty}`);
  return Float64Array.from({ length: k }, (_, i) => {
    let sum = 0;
    for (let j = 0; j < k; j++) sum += inverse[i * k + j]! * right[j]!;
    return sum;
  });
}

/** Inner product. */
export function inner(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}
