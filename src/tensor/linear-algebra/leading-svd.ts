/**
 * Singular triplets of matrices of some thousand rows, and the polar factor, in f64 on the host, through the Gram
 * matrix of the shorter side.
 *
 * Singular values below a millionth of the largest are rounding of f32 weights: they count as zero and have no
 * directions here. n being the shorter side and m the longer, about 6 n^3 + 2 m n^2 multiplications. svd.ts is exact to
 * rounding, also for small singular values, and many times slower.
 */
import { dotOf, tridiagonalEigen } from "./tridiagonal-eigen.ts";

/** Below this share of the largest singular value one counts as zero. */
const TINY = 1e-6;

/** Row-major. */
export interface HostMatrix {
  readonly rows: number;
  readonly columns: number;
  readonly values: Float64Array;
}

/** A = sum_j s_j left_j right_j^T: row j of `left` (k, rows) and `right` (k, columns) is a unit vector. */
export interface Triplets {
  readonly s: Float64Array;
  readonly left: HostMatrix;
  readonly right: HostMatrix;
}

/** Zeros unless values are given, which it holds, not copies. */
export function hostMatrix(rows: number, columns: number, values?: Float64Array): HostMatrix {
  return { rows, columns, values: values ?? new Float64Array(rows * columns) };
}

/** The other way round, copied. */
export function transposed({ rows, columns, values }: HostMatrix): HostMatrix {
  const turned = new Float64Array(values.length);
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) turned[c * rows + r] = values[r * columns + c]!;
  return hostMatrix(columns, rows, turned);
}

/** A B. */
export function hostProduct(a: HostMatrix, b: HostMatrix): HostMatrix {
  if (a.columns !== b.rows) throw new RangeError(`product of ${a.columns} columns and ${b.rows} rows`);
  const n = b.columns;
  const out = hostMatrix(a.rows, n);
  for (let i = 0; i < a.rows; i++) {
    for (let k = 0; k < a.columns; k++) {
      const x = a.values[i * a.columns + k]!;
      if (x === 0) continue;
      for (let j = 0; j < n; j++) out.values[i * n + j]! += x * b.values[k * n + j]!;
    }
  }
  return out;
}

/** Eigenvectors of A A^T as rows, and the roots of their eigenvalues; those that are not rounding, at most `most`. */
function leftDirections(
  { rows, columns, values }: HostMatrix,
  most: number,
  size: number,
): { s: Float64Array; vectors: HostMatrix } {
  const gram = new Float64Array(rows * rows);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j <= i; j++) {
      const dot = dotOf(values, i * columns, values, j * columns, 0, columns);
      gram[i * rows + j] = dot;
      gram[j * rows + i] = dot;
    }
  }
  const eigen = tridiagonalEigen(gram, rows);
  const floor = TINY ** 2 * Math.max(eigen.values[0] ?? 0, size ** 2);
  const s = eigen.values.filter((value, j) => j < most && value > 0 && value > floor).map(Math.sqrt);
  return { s, vectors: hostMatrix(s.length, rows, eigen.vectors.slice(0, s.length * rows)) };
}

/**
 * The leading triplets, at most `most`, by falling singular value. `size`: a length that values are measured against
 * too, where A is what a subtraction left. Throws RangeError for what is not finite.
 */
export function leadingSvd(a: HostMatrix, most = Number.POSITIVE_INFINITY, size = 0): Triplets {
  const wide = a.columns >= a.rows;
  const short = wide ? a : transposed(a);
  const { s, vectors } = leftDirections(short, most, size);
  const across = hostProduct(vectors, short);
  for (const [j, length] of s.entries()) {
    const at = j * across.columns;
    for (let i = 0; i < across.columns; i++) across.values[at + i]! /= length;
  }
  return wide ? { s, left: vectors, right: across } : { s, left: across, right: vectors };
}

/** sum_j s_j left_j right_j^T, (rows, columns). */
export function rebuilt({ s, left, right }: Triplets): HostMatrix {
  const scaled = hostMatrix(right.rows, right.columns, right.values.slice());
  for (let j = 0; j < s.length; j++) {
    for (let i = 0; i < right.columns; i++) scaled.values[j * right.columns + i]! *= s[j]!;
  }
  return hostProduct(transposed(left), scaled);
}

/**
 * The polar factor of A: all of its singular values set to 1. Of row vectors, the orthonormal ones nearest to them
 * (Schoenemann 1966, the orthogonal Procrustes problem).
 */
export function polarFactor(a: HostMatrix): HostMatrix {
  const { left, right } = leadingSvd(a);
  return hostProduct(transposed(left), right);
}

/** Rows of several matrices, one below the other. */
export function stackedRows(parts: readonly HostMatrix[], columns: number): HostMatrix {
  const stacked = hostMatrix(
    parts.reduce((sum, { rows }) => sum + rows, 0),
    columns,
  );
  let at = 0;
  for (const { values } of parts) {
    stacked.values.set(values, at);
    at += values.length;
  }
  return stacked;
}
