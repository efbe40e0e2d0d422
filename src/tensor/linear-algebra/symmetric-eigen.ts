/**
 * Eigenvalues and eigenvectors of a small symmetric matrix, in f64 on the host, by cyclic Jacobi rotations.
 *
 * Golub and Van Loan, Matrix Computations, 4th ed., section 8.5. Accurate to rounding, also for close or repeated
 * eigenvalues; O(n^3) per sweep, about eight sweeps: meant for n up to a few hundred.
 */

const SWEEPS = 60;

export interface Eigen {
  /** Descending. */
  readonly values: Float64Array;
  /** (n, n) row-major: row j is the unit eigenvector of `values[j]`. */
  readonly vectors: Float64Array;
}

/**
 * `matrix` is (n, n), row-major and symmetric; it is not changed. Throws RangeError for a matrix with values that are
 * not finite.
 */
export function symmetricEigen(matrix: Float64Array, n: number): Eigen {
  const a = matrix.slice();
  const v = new Float64Array(n * n); // row j follows the j-th diagonal entry
  let size = 0;
  for (const x of a) size += x * x;
  if (!Number.isFinite(size)) throw new RangeError("eigenvalues of a matrix with values that are not finite");
  for (let i = 0; i < n; i++) v[i * n + i] = 1;
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    let off = 0;
    for (let p = 0; p < n; p++) for (let q = p + 1; q < n; q++) off += a[p * n + q]! ** 2;
    if (off <= 1e-30 * size) break;
    for (let p = 0; p < n; p++) for (let q = p + 1; q < n; q++) rotate(a, v, n, p, q);
  }
  const order = Array.from({ length: n }, (_, i) => i).sort((i, j) => a[j * n + j]! - a[i * n + i]! || i - j);
  const vectors = new Float64Array(n * n);
  for (const [to, from] of order.entries()) vectors.set(v.subarray(from * n, from * n + n), to * n);
  return { values: Float64Array.from(order, (i) => a[i * n + i]!), vectors };
}

/** One rotation in the plane (p, q) that makes a[p, q] zero; rows and columns both turn. */
function rotate(a: Float64Array, v: Float64Array, n: number, p: number, q: number): void {
  const apq = a[p * n + q]!;
  if (apq === 0) return;
  const theta = (a[q * n + q]! - a[p * n + p]!) / (2 * apq);
  const t = (theta < 0 ? -1 : 1) / (Math.abs(theta) + Math.hypot(theta, 1));
  const c = 1 / Math.hypot(t, 1);
  const s = t * c;
  for (let k = 0; k < n; k++) {
    const x = a[k * n + p]!;
    const y = a[k * n + q]!;
    a[k * n + p] = c * x - s * y;
    a[k * n + q] = s * x + c * y;
  }
  for (let k = 0; k < n; k++) {
    const x = a[p * n + k]!;
    const y = a[q * n + k]!;
    a[p * n + k] = c * x - s * y;
    a[q * n + k] = s * x + c * y;
    const vx = v[p * n + k]!;
    const vy = v[q * n + k]!;
    v[p * n + k] = c * vx - s * vy;
    v[q * n + k] = s * vx + c * vy;
  }
}
