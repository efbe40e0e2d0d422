/** A matrix with rows and columns of about the same length, and sizes of blocks that divide it. */

/** The least length that a row or column counts with. */
const LEAST = 1e-5;

export interface Balanced {
  /** (rows, columns): the matrix with columns, then rows divided by their sizes. */
  readonly values: Float32Array;
  readonly rowSizes: Float64Array;
  readonly columnSizes: Float64Array;
}

/** Divides the columns of a matrix by their lengths, and then the rows by theirs. */
export function balanced(matrix: Float32Array, columns: number): Balanced {
  const rows = matrix.length / columns;
  const columnSizes = new Float64Array(columns);
  for (const [i, x] of matrix.entries()) columnSizes[i % columns]! += x * x;
  for (const [j, squares] of columnSizes.entries()) columnSizes[j] = Math.max(LEAST, Math.sqrt(squares));
  const rowSizes = new Float64Array(rows);
  for (const [i, x] of matrix.entries()) rowSizes[Math.floor(i / columns)]! += (x / columnSizes[i % columns]!) ** 2;
  for (const [r, squares] of rowSizes.entries()) rowSizes[r] = Math.max(LEAST, Math.sqrt(squares));
  const values = matrix.map((x, i) => x / columnSizes[i % columns]! / rowSizes[Math.floor(i / columns)]!);
  return { values, rowSizes, columnSizes };
}

/** The largest divisor of n that is at most `most`, 1 at the least. */
export function largestDivisor(n: number, most: number): number {
  for (let d = Math.min(n, most); d > 1; d--) if (n % d === 0) return d;
  return 1;
}
