import { expect, test } from "bun:test";
import { svd } from "../../../src/tensor/linear-algebra/svd.ts";
import { normal, randomArray } from "../../experiments/support.ts";

/** Largest deviation of U diag(s) V^T from A, and of U^T U and V^T V from the identity. */
function errors(a: ArrayLike<number>, rows: number, columns: number) {
  const { u, s, v } = svd(a, rows, columns);
  const r = s.length;
  let [rebuilt, orthogonal] = [0, 0];
  for (let i = 0; i < rows; i++) {
    for (let c = 0; c < columns; c++) {
      const sum = s.reduce((total, value, j) => total + value * u[i * r + j]! * v[c * r + j]!, 0);
      rebuilt = Math.max(rebuilt, Math.abs(sum - a[i * columns + c]!));
    }
  }
  for (const [side, length] of [
    [u, rows],
    [v, columns],
  ] as const) {
    for (let j = 0; j < r; j++) {
      for (let k = 0; k < r; k++) {
        let dot = 0;
        for (let i = 0; i < length; i++) dot += side[i * r + j]! * side[i * r + k]!;
        orthogonal = Math.max(orthogonal, Math.abs(dot - (j === k ? 1 : 0)));
      }
    }
  }
  return { rebuilt, orthogonal, s };
}

test("rebuilds matrices of every shape from orthonormal factors", () => {
  for (const [rows, columns] of [
    [1, 1],
    [1, 7],
    [7, 1],
    [3, 5],
    [5, 3],
    [257, 31],
    [31, 257],
    [64, 64],
  ] as const) {
    const { rebuilt, orthogonal, s } = errors(randomArray(rows * columns, normal(rows)), rows, columns);
    expect(rebuilt).toBeLessThan(1e-12);
    expect(orthogonal).toBeLessThan(1e-12);
    expect([...s].sort((a, b) => b - a)).toEqual([...s]);
    expect(s.length).toBe(Math.min(rows, columns));
  }
});

test("finds a known spectrum, over ten orders of magnitude", () => {
  const n = 20;
  const left = svd(randomArray(n * n, normal(1)), n, n).u;
  const right = svd(randomArray(n * n, normal(2)), n, n).u;
  const wanted = Array.from({ length: n }, (_, j) => 10 ** (-j / 2));
  const a = new Float64Array(n * n).map((_, at) =>
    wanted.reduce((sum, s, j) => sum + s * left[Math.floor(at / n) * n + j]! * right[(at % n) * n + j]!, 0),
  );
  for (const [j, s] of svd(a, n, n).s.entries()) expect(Math.abs(s - wanted[j]!)).toBeLessThan(1e-14);
});

test("matrices of low rank, of zeros and of equal columns have orthonormal factors too", () => {
  const column = randomArray(12, normal(3));
  const row = randomArray(9, normal(4));
  const outer = new Float64Array(108).map((_, at) => column[Math.floor(at / 9)]! * row[at % 9]!);
  for (const [matrix, rank] of [
    [outer, 1],
    [new Float64Array(108), 0],
    [new Float64Array(108).fill(1), 1],
  ] as const) {
    const { rebuilt, orthogonal, s } = errors(matrix, 12, 9);
    expect(rebuilt).toBeLessThan(1e-13);
    expect(orthogonal).toBeLessThan(1e-12);
    expect(s.filter((value) => value > 1e-10).length).toBe(rank);
  }
});

test("refuses values that are not finite", () => {
  expect(() => svd([1, Number.POSITIVE_INFINITY], 1, 2)).toThrow("singular values of a matrix with Infinity");
});
