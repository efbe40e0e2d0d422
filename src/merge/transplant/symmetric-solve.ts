/** Systems of a few unknowns that may have many solutions. */
import { symmetricEigen } from "../../tensor/linear-algebra/symmetric-eigen.ts";

/** Eigenvalues below this share of the largest are rounding. */
const ROUNDING = 1e-12;

/** The shortest x that minimises |A x - b|; `a` is (n, n), symmetric, not necessarily positive. */
export function symmetricSolve(a: Float64Array, b: Float64Array): Float64Array {
  const n = b.length;
  const { values, vectors } = symmetricEigen(a, n);
  const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const x = new Float64Array(n);
  for (const [j, value] of values.entries()) {
    if (!(Math.abs(value) > ROUNDING * largest)) continue;
    const vector = vectors.subarray(j * n, (j + 1) * n);
    const along = vector.reduce((sum, v, i) => sum + v * b[i]!, 0) / value;
    for (let i = 0; i < n; i++) x[i]! += along * vector[i]!;
  }
  return x;
}
