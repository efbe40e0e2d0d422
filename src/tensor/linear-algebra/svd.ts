/**
 * Singular value decomposition of a small matrix, in f64 on the host, by one-sided Jacobi rotations.
 *
 * Hestenes, J. SIAM 1958; Golub and Van Loan, Matrix Computations, 4th ed., section 8.6.3. Columns are rotated in pairs
 * until all are orthogonal; their lengths are the singular values. Accurate to rounding also for small ones; O(m n^2)
 * per sweep, about eight sweeps: meant for a shorter side of a few hundred.
 */

const SWEEPS = 60;
const ORTHOGONAL = 1e-15;

export interface Svd {
  /** (rows, r) row-major, r = min(rows, columns), orthonormal columns. */
  readonly u: Float64Array;
  /** r values, descending. */
  readonly s: Float64Array;
  /** (columns, r) row-major, orthonormal columns: A = U diag(s) V^T. */
  readonly v: Float64Array;
}

/** `matrix` is (rows, columns), row-major; it is not changed. Throws RangeError for values that are not finite. */
export function svd(matrix: ArrayLike<number>, rows: number, columns: number): Svd {
  for (let i = 0; i < matrix.length; i++) {
    if (!Number.isFinite(matrix[i]!)) throw new RangeError(`singular values of a matrix with ${matrix[i]}`);
  }
  const wide = columns > rows;
  const [length, n] = wide ? [columns, rows] : [rows, columns];
  // Row j holds the j-th column of the tall one of A and A^T, and of the identity beside it.
  const work = new Float64Array(n * length);
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++) work[wide ? r * length + c : c * length + r] = matrix[r * columns + c]!;
  }
  const turned = new Float64Array(n * n);
  for (let j = 0; j < n; j++) turned[j * n + j] = 1;
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    let rotated = false;
    for (let p = 0; p < n; p++)
      for (let q = p + 1; q < n; q++) rotated = orthogonalise(work, turned, length, n, p, q) || rotated;
    if (!rotated) break;
  }
  const lengths = Array.from({ length: n }, (_, j) =>
    Math.hypot(...chunked(work.subarray(j * length, (j + 1) * length))),
  );
  const order = lengths.map((_, j) => j).sort((i, j) => lengths[j]! - lengths[i]! || i - j);
  const s = Float64Array.from(order, (j) => lengths[j]!);
  const tall = new Float64Array(length * n);
  const short = new Float64Array(n * n);
  for (const [to, from] of order.entries()) {
    for (let i = 0; i < n; i++) short[i * n + to] = turned[from * n + i]!;
    if (s[to]! > 0) for (let i = 0; i < length; i++) tall[i * n + to] = work[from * length + i]! / s[to]!;
  }
  complete(tall, length, n, s);
  return wide ? { u: short, s, v: tall } : { u: tall, s, v: short };
}

/** Lengths of runs, so that `Math.hypot` gets few arguments and nothing overflows. */
function chunked(values: Float64Array): number[] {
  const runs: number[] = [];
  for (let i = 0; i < values.length; i += 64) runs.push(Math.hypot(...values.subarray(i, i + 64)));
  return runs.length > 64 ? [Math.hypot(...chunked(Float64Array.from(runs)))] : runs;
}

/** Rotates two columns until they are orthogonal; returns whether they were not. */
function orthogonalise(
  work: Float64Array,
  turned: Float64Array,
  length: number,
  n: number,
  p: number,
  q: number,
): boolean {
  let [pp, pq, qq] = [0, 0, 0];
  for (let i = 0; i < length; i++) {
    const x = work[p * length + i]!;
    const y = work[q * length + i]!;
    pp += x * x;
    pq += x * y;
    qq += y * y;
  }
  if (pq === 0 || Math.abs(pq) <= ORTHOGONAL * Math.sqrt(pp * qq)) return false;
  const zeta = (qq - pp) / (2 * pq);
  const t = (zeta < 0 ? -1 : 1) / (Math.abs(zeta) + Math.hypot(zeta, 1));
  const c = 1 / Math.hypot(t, 1);
  rotate(work, p * length, q * length, length, c, c * t);
  rotate(turned, p * n, q * n, n, c, c * t);
  return true;
}

function rotate(values: Float64Array, p: number, q: number, length: number, c: number, s: number): void {
  for (let i = 0; i < length; i++) {
    const x = values[p + i]!;
    const y = values[q + i]!;
    values[p + i] = c * x - s * y;
    values[q + i] = s * x + c * y;
  }
}

/** Fills columns that belong to (nearly) zero singular values, so that all columns are orthonormal. */
function complete(u: Float64Array, length: number, n: number, s: Float64Array): void {
  const tiny = 1e-14 * Math.max(s[0] ?? 0, Number.MIN_VALUE) * Math.max(length, n);
  let axis = 0;
  for (let j = 0; j < n; j++) {
    if (s[j]! > tiny) continue;
    for (; axis < length; axis++) {
      const column = new Float64Array(length);
      column[axis] = 1;
      // Twice is enough (Giraud et al.).
      for (let pass = 0; pass < 2; pass++) {
        for (let k = 0; k < j; k++) {
          let dot = 0;
          for (let i = 0; i < length; i++) dot += column[i]! * u[i * n + k]!;
          for (let i = 0; i < length; i++) column[i]! -= dot * u[i * n + k]!;
        }
      }
      const norm = Math.hypot(...chunked(column));
      if (norm < 0.5 / Math.sqrt(length)) continue;
      for (let i = 0; i < length; i++) u[i * n + j] = column[i]! / norm;
      axis++;
      break;
    }
  }
}
