/**
 * Cholesky factors and inverses of symmetric positive definite matrices, in f64 on the host. Golub and Van Loan, Matrix
 * Computations, 4th ed., section 4.2. About n^3 / 6 multiplications for the factor, n^3 / 2 for the inverse.
 */

/**
 * Lower triangle L of an (n, n) matrix L L^T, the rest 0; undefined where a pivot is not above `least`.
 */
export function choleskyFactor(matrix: Float64Array, n: number, least = 0): Float64Array | undefined {
  const l = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = matrix[i * n + j]!;
      for (let k = 0; k < j; k++) sum -= l[i * n + k]! * l[j * n + k]!;
      if (i !== j) l[i * n + j] = sum / l[j * n + j]!;
      else if (sum > least) l[i * n + i] = Math.sqrt(sum);
      else return undefined;
    }
  }
  return l;
}

/** The inverse of a lower triangle, in place. */
function invertTriangle(l: Float64Array, n: number): void {
  const row = new Float64Array(n);
  for (let i = 0; i < n; i++) {
    row.fill(0);
    // Rows above are inverted: row i of the inverse is (e_i - sum_k L_ik (row k)) / L_ii.
    for (let k = 0; k < i; k++) {
      const factor = l[i * n + k]!;
      if (factor !== 0) for (let j = 0; j <= k; j++) row[j]! -= factor * l[k * n + j]!;
    }
    const scale = 1 / l[i * n + i]!;
    for (let j = 0; j < i; j++) l[i * n + j] = row[j]! * scale;
    l[i * n + i] = scale;
  }
}

/** The inverse of an (n, n) symmetric matrix; undefined where `choleskyFactor` gives none. */
export function symmetricInverse(matrix: Float64Array, n: number, least = 0): Float64Array | undefined {
  const l = choleskyFactor(matrix, n, least);
  if (!l) return undefined;
  invertTriangle(l, n);
  const inverse = new Float64Array(n * n);
  for (let k = 0; k < n; k++) {
    for (let i = 0; i <= k; i++) {
      const factor = l[k * n + i]!;
      if (factor !== 0) for (let j = 0; j <= i; j++) inverse[i * n + j]! += factor * l[k * n + j]!;
    }
  }
  for (let i = 0; i < n; i++) for (let j = 0; j < i; j++) inverse[j * n + i] = inverse[i * n + j]!;
  return inverse;
}

/** Solves L x = b. */
export function solveLower(l: Float64Array, b: ArrayLike<number>, n: number): Float64Array {
  const x = new Float64Array(n);
  for (let i = 0; i < n; i++) {
    let sum = b[i]!;
    for (let k = 0; k < i; k++) sum -= l[i * n + k]! * x[k]!;
    x[i] = sum / l[i * n + i]!;
  }
  return x;
}

/** Solves L^T x = b. */
export function solveUpper(l: Float64Array, b: ArrayLike<number>, n: number): Float64Array {
  const x = new Float64Array(n);
  for (let i = n - 1; i >= 0; i--) {
    let sum = b[i]!;
    for (let k = i + 1; k < n; k++) sum -= l[k * n + i]! * x[k]!;
    x[i] = sum / l[i * n + i]!;
  }
  return x;
}
