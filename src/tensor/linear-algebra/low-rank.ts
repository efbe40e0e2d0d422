/**
 * Matrices as products of two thin ones, on the host in f64: the singular triplets of a product without making it, and
 * orthonormal bases of a few long vectors.
 */
import { type HostMatrix, hostMatrix, hostProduct, leadingSvd, type Triplets, transposed } from "./leading-svd.ts";
import { dotOf } from "./tridiagonal-eigen.ts";

/** What is left of a vector, of its length, below which it lies in the span of those before it. */
const DEPENDENT = 1e-12;

/** Rows of `basis` (k, n) are orthonormal; the matrix is `coefficients` (rows, k) times it. */
export interface RowBasis {
  readonly basis: HostMatrix;
  readonly coefficients: HostMatrix;
}

/**
 * An orthonormal basis of the rows, by Gram and Schmidt's process, each row twice. Rows that depend on those before
 * them add nothing. 4 rows^2 columns multiplications.
 */
export function rowBasis({ rows, columns, values }: HostMatrix): RowBasis {
  const found = new Float64Array(rows * columns);
  const coefficients = hostMatrix(rows, rows);
  let count = 0;
  for (let r = 0; r < rows; r++) {
    const row = values.slice(r * columns, (r + 1) * columns);
    const length = Math.sqrt(dotOf(row, 0, row, 0, 0, columns));
    for (let pass = 0; pass < 2; pass++) {
      for (let j = 0; j < count; j++) {
        const at = j * columns;
        const along = dotOf(found, at, row, 0, 0, columns);
        coefficients.values[r * rows + j]! += along;
        for (let i = 0; i < columns; i++) row[i]! -= along * found[at + i]!;
      }
    }
    const rest = Math.sqrt(dotOf(row, 0, row, 0, 0, columns));
    if (!(rest > DEPENDENT * length)) continue;
    coefficients.values[r * rows + count] = rest;
    for (let i = 0; i < columns; i++) found[count * columns + i] = row[i]! / rest;
    count++;
  }
  const narrow = hostMatrix(rows, count);
  for (let r = 0; r < rows; r++) {
    narrow.values.set(coefficients.values.subarray(r * rows, r * rows + count), r * count);
  }
  return { basis: hostMatrix(count, columns, found.slice(0, count * columns)), coefficients: narrow };
}

/**
 * The leading triplets of B A, at most `most`: b (out, r), a (r, in). The product is never made where r is less than
 * both of its sides.
 */
export function svdOfProduct(b: HostMatrix, a: HostMatrix, most = Number.POSITIVE_INFINITY): Triplets {
  const rank = a.rows;
  if (rank >= Math.min(b.rows, a.columns)) return leadingSvd(hostProduct(b, a), most);
  const outer = rowBasis(transposed(b));
  const inner = rowBasis(a);
  if (outer.basis.rows === 0 || inner.basis.rows === 0)
    return { s: new Float64Array(0), left: hostMatrix(0, b.rows), right: hostMatrix(0, a.columns) };
  const core = hostProduct(transposed(outer.coefficients), inner.coefficients);
  const { s, left, right } = leadingSvd(core, most);
  return { s, left: hostProduct(left, outer.basis), right: hostProduct(right, inner.basis) };
}

/** Sum of the squares of B A's values, through the Gram matrices of both. */
export function squaresOfProduct(b: HostMatrix, a: HostMatrix): number {
  const rank = a.rows;
  const turned = transposed(b);
  let sum = 0;
  for (let i = 0; i < rank; i++)
    for (let j = 0; j < rank; j++)
      sum +=
        dotOf(turned.values, i * b.rows, turned.values, j * b.rows, 0, b.rows) *
        dotOf(a.values, i * a.columns, a.values, j * a.columns, 0, a.columns);
  return Math.max(0, sum);
}
