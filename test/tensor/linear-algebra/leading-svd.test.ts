import { expect, test } from "bun:test";
import { hostMatrix, leadingSvd, polarFactor, rebuilt } from "../../../src/tensor/linear-algebra/leading-svd.ts";
import { svd } from "../../../src/tensor/linear-algebra/svd.ts";
import { symmetricEigen } from "../../../src/tensor/linear-algebra/symmetric-eigen.ts";
import { tridiagonalEigen } from "../../../src/tensor/linear-algebra/tridiagonal-eigen.ts";
import { normal, randomArray } from "../../experiments/support.ts";

/** (rows, columns) of a rank. */
function ofRank(rows: number, columns: number, rank: number, seed: number): Float64Array {
  const [u, v] = [randomArray(rows * rank, normal(seed)), randomArray(columns * rank, normal(seed + 1))];
  return Float64Array.from({ length: rows * columns }, (_, at) => {
    const [r, c] = [Math.floor(at / columns), at % columns];
    let sum = 0;
    for (let k = 0; k < rank; k++) sum += u[r * rank + k]! * v[c * rank + k]!;
    return sum;
  });
}

const apart = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Array.from(a).reduce((most, x, i) => Math.max(most, Math.abs(x - b[i]!)), 0);

test("eigenvalues are those of Jacobi's rotations, and the vectors rebuild the matrix", () => {
  for (const n of [0, 1, 2, 3, 7, 64, 129]) {
    const half = randomArray(n * n, normal(n + 1));
    const a = half.map((x, at) => x + half[(at % n) * n + Math.floor(at / n)]!);
    const { values, vectors } = tridiagonalEigen(a, n);
    expect(apart(values, symmetricEigen(a, n).values)).toBeLessThan(1e-12 * (n + 1));
    const again = a.map((_, at) => {
      const [i, j] = [Math.floor(at / n), at % n];
      return values.reduce((sum, value, k) => sum + value * vectors[k * n + i]! * vectors[k * n + j]!, 0);
    });
    expect(apart(again, a)).toBeLessThan(1e-12 * (n + 1));
  }
});

test("repeated and missing eigenvalues, and a diagonal matrix, come out exact", () => {
  const ones = new Float64Array(36).fill(2);
  expect(apart(tridiagonalEigen(ones, 6).values, [12, 0, 0, 0, 0, 0])).toBeLessThan(1e-14);
  const diagonal = Float64Array.of(1, 0, 0, 0, 3, 0, 0, 0, 1);
  expect([...tridiagonalEigen(diagonal, 3).values]).toEqual([3, 1, 1]);
  expect([...tridiagonalEigen(new Float64Array(9), 3).values]).toEqual([0, 0, 0]);
  expect(() => tridiagonalEigen(Float64Array.of(Number.NaN), 1)).toThrow(RangeError);
});

test("singular triplets rebuild matrices of every shape and rank, and only the rank's are there", () => {
  for (const [rows, columns, rank] of [
    [1, 9, 1],
    [9, 1, 1],
    [13, 40, 13],
    [40, 13, 13],
    [31, 31, 4],
    [5, 60, 2],
  ] as const) {
    const a = ofRank(rows, columns, rank, rows);
    const triplets = leadingSvd(hostMatrix(rows, columns, a));
    expect(triplets.s).toHaveLength(rank);
    expect(apart(triplets.s, svd(a, rows, columns).s)).toBeLessThan(1e-8 * triplets.s[0]!);
    expect(apart(rebuilt(triplets).values, a)).toBeLessThan(1e-10 * triplets.s[0]!);
  }
  expect(leadingSvd(hostMatrix(3, 4)).s).toHaveLength(0);
  expect(leadingSvd(hostMatrix(8, 9, ofRank(8, 9, 5, 1)), 2).s).toHaveLength(2);
});

test("the polar factor has singular values of 1 and is nothing where there is no rank", () => {
  for (const [rows, columns, rank] of [
    [6, 20, 6],
    [20, 6, 3],
  ] as const) {
    const factor = polarFactor(hostMatrix(rows, columns, ofRank(rows, columns, rank, 3)));
    const { s } = svd(factor.values, rows, columns);
    for (const [j, value] of s.entries()) expect(value).toBeCloseTo(j < rank ? 1 : 0, 8);
  }
});
