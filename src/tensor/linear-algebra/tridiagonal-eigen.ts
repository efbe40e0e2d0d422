/**
 * Eigenvalues and eigenvectors of a symmetric matrix of some thousand rows, in f64 on the host: Householder reflections
 * to a tridiagonal matrix, then implicit QL steps.
 *
 * Golub and Van Loan, Matrix Computations, 4th ed., section 8.3. Errors are rounding of the largest eigenvalue, so
 * small ones are less exact than those of symmetric-eigen.ts; about 6 n^3 multiplications, once.
 */
import type { Eigen } from "./symmetric-eigen.ts";

/** QL steps for one eigenvalue; two are usual. */
const STEPS = 60;

/** sum of a[at + j] b[bt + j], j from `first` to below `end`, in four sums: one alone waits for each addition. */
export function dotOf(a: Float64Array, at: number, b: Float64Array, bt: number, first: number, end: number): number {
  let [s0, s1, s2, s3] = [0, 0, 0, 0];
  let j = first;
  for (; j + 4 <= end; j += 4) {
    s0 += a[at + j]! * b[bt + j]!;
    s1 += a[at + j + 1]! * b[bt + j + 1]!;
    s2 += a[at + j + 2]! * b[bt + j + 2]!;
    s3 += a[at + j + 3]! * b[bt + j + 3]!;
  }
  for (; j < end; j++) s0 += a[at + j]! * b[bt + j]!;
  return s0 + s1 + (s2 + s3);
}

/** Columns that turn together. */
const STRIP = 256;

/** Angles of the turns of rows i and i + 1. */
interface Rotations {
  readonly cosines: Float64Array;
  readonly sines: Float64Array;
}

/** A tridiagonal matrix T with A = Q T Q^T, Q the product of the reflections I - factors[k] v_k v_k^T. */
interface Tridiagonal {
  readonly diagonal: Float64Array;
  /** Beside the diagonal; the last one is 0. */
  readonly beside: Float64Array;
  /** Row k holds v_k from column k + 1 on. */
  readonly reflections: Float64Array;
  readonly factors: Float64Array;
}

/** `matrix` is (n, n), row-major and symmetric; it is not changed. Throws RangeError for values that are not finite. */
export function tridiagonalEigen(matrix: Float64Array, n: number): Eigen {
  if (!matrix.every(Number.isFinite)) throw new RangeError("eigenvalues of a matrix with values that are not finite");
  const reduced = tridiagonal(matrix.slice(), n);
  const rows = new Float64Array(n * n);
  for (let i = 0; i < n; i++) rows[i * n + i] = 1;
  diagonalise(reduced.diagonal, reduced.beside, rows, n);
  reflect(rows, reduced, n);
  const values = reduced.diagonal;
  const order = Array.from(values.keys()).sort((i, j) => values[j]! - values[i]! || i - j);
  const vectors = new Float64Array(n * n);
  for (const [to, from] of order.entries()) vectors.set(rows.subarray(from * n, from * n + n), to * n);
  return { values: Float64Array.from(order, (i) => values[i]!), vectors };
}

/** Reduces `a` in place. */
function tridiagonal(a: Float64Array, n: number): Tridiagonal {
  const [diagonal, beside, factors] = [new Float64Array(n), new Float64Array(n), new Float64Array(n)];
  const w = new Float64Array(n);
  for (let k = 0; k < n; k++) {
    diagonal[k] = a[k * n + k]!;
    if (k + 1 === n) break;
    const v = a.subarray(k * n, k * n + n);
    let [tail, largest] = [0, 0];
    for (let j = k + 1; j < n; j++) largest = Math.max(largest, Math.abs(v[j]!));
    for (let j = k + 2; j < n; j++) tail += (v[j]! / largest) ** 2;
    const lead = v[k + 1]!;
    if (largest === 0 || tail === 0) {
      beside[k] = lead;
      continue;
    }
    beside[k] = (lead > 0 ? -largest : largest) * Math.sqrt((lead / largest) ** 2 + tail);
    v[k + 1] = lead - beside[k]!;
    factors[k] = 2 / ((v[k + 1]! / largest) ** 2 + tail) / largest / largest;
    turn(a, n, k + 1, v, factors[k]!, w);
  }
  return { diagonal, beside, reflections: a, factors };
}

/** Applies a reflection to both sides of the square of `a` from row and column `first` on. */
function turn(a: Float64Array, n: number, first: number, v: Float64Array, factor: number, w: Float64Array): void {
  let inside = 0;
  for (let i = first; i < n; i++) {
    w[i] = factor * dotOf(a, i * n, v, 0, first, n);
    inside += w[i]! * v[i]!;
  }
  for (let i = first; i < n; i++) w[i]! -= (factor / 2) * inside * v[i]!;
  for (let i = first; i < n; i++) {
    const at = i * n;
    const vi = v[i]!;
    const wi = w[i]!;
    for (let j = first; j < n; j++) a[at + j]! -= vi * w[j]! + wi * v[j]!;
  }
}

/** Turns every row x into Q x. */
function reflect(rows: Float64Array, { reflections, factors }: Tridiagonal, n: number): void {
  for (let r = 0; r < n; r++) {
    const x = rows.subarray(r * n, r * n + n);
    for (let k = n - 2; k >= 0; k--) {
      if (factors[k] === 0) continue;
      const at = k * n;
      const dot = factors[k]! * dotOf(x, 0, reflections, at, k + 1, n);
      for (let j = k + 1; j < n; j++) x[j]! -= dot * reflections[at + j]!;
    }
  }
}

/** Brings T to its eigenvalues, in `d`; the rows turn with it. */
function diagonalise(d: Float64Array, e: Float64Array, rows: Float64Array, n: number): void {
  let size = 0;
  for (let i = 0; i < n; i++) size = Math.max(size, Math.abs(d[i]!) + Math.abs(e[i]!));
  const tiny = Number.EPSILON * size;
  const turns = { cosines: new Float64Array(n), sines: new Float64Array(n) };
  for (let first = 0; first < n; first++) {
    for (let step = 0; step < STEPS; step++) {
      let last = first;
      while (last + 1 < n && Math.abs(e[last]!) > tiny) last++;
      if (last === first) break;
      rotate(rows, n, turns, chase(d, e, first, last, turns), last);
    }
  }
}

/**
 * One implicit QL step on rows first .. last, shifted by the eigenvalue of the first two nearest to d[first]. Gives the
 * turns of rows i and i + 1, and the first i that has one.
 */
function chase(d: Float64Array, e: Float64Array, first: number, last: number, turns: Rotations): number {
  const half = (d[first + 1]! - d[first]!) / (2 * e[first]!);
  const root = Math.hypot(half, 1);
  let g = d[last]! - d[first]! + e[first]! / (half + (half < 0 ? -root : root));
  let [sine, cosine, moved] = [1, 1, 0];
  for (let i = last - 1; i >= first; i--) {
    const [f, b] = [sine * e[i]!, cosine * e[i]!];
    const length = Math.hypot(f, g);
    e[i + 1] = length;
    if (length === 0) {
      d[i + 1]! -= moved;
      e[last] = 0;
      return i + 1;
    }
    [sine, cosine] = [f / length, g / length];
    const from = d[i + 1]! - moved;
    const step = (d[i]! - from) * sine + 2 * cosine * b;
    moved = sine * step;
    d[i + 1] = from + moved;
    g = cosine * step - b;
    turns.cosines[i] = cosine;
    turns.sines[i] = sine;
  }
  d[first]! -= moved;
  e[first] = g;
  e[last] = 0;
  return first;
}

/** Turns rows i and i + 1 into each other, i from last - 1 down to first; a strip of columns at once, for the cache. */
function rotate(rows: Float64Array, n: number, { cosines, sines }: Rotations, first: number, last: number): void {
  for (let from = 0; from < n; from += STRIP) {
    const to = Math.min(n, from + STRIP);
    for (let i = last - 1; i >= first; i--) {
      const cosine = cosines[i]!;
      const sine = sines[i]!;
      for (let p = i * n + from, end = i * n + to; p < end; p++) {
        const x = rows[p]!;
        const y = rows[p + n]!;
        rows[p + n] = sine * x + cosine * y;
        rows[p] = cosine * x - sine * y;
      }
    }
  }
}
