import { describe, expect, test } from "bun:test";
import { assign } from "../../../src/tensor/linear-algebra/assignment.ts";
import { normals } from "../../support/random.ts";

/** The best sum over all permutations, by trying each. */
function best(gains: Float64Array, n: number): number {
  const tried = (row: number, left: readonly number[]): number =>
    row === n
      ? 0
      : Math.max(
          ...left.map(
            (column) =>
              gains[row * n + column]! +
              tried(
                row + 1,
                left.filter((c) => c !== column),
              ),
          ),
        );
  return tried(
    0,
    Array.from({ length: n }, (_, i) => i),
  );
}

const total = (gains: Float64Array, columns: Int32Array) =>
  columns.reduce((sum, column, row) => sum + gains[row * columns.length + column]!, 0);

describe("assign", () => {
  test("finds the best of all permutations", () => {
    for (let seed = 0; seed < 40; seed++) {
      const n = 1 + (seed % 7);
      const gains = Float64Array.from(normals(seed, n * n, 1), (x) => (seed % 3 === 0 ? Math.round(2 * x) : x));
      const found = assign(gains, n);
      expect([...found].sort()).toEqual(Array.from({ length: n }, (_, i) => i));
      expect(total(gains, found)).toBeCloseTo(best(gains, n), 12);
    }
  });

  test("a case by hand: the greedy choice is not the best", () => {
    // Row 0 would take column 0 (9), which leaves row 1 with 0: 9 < 8 + 7.
    expect([...assign(Float64Array.of(9, 8, 7, 0), 2)]).toEqual([1, 0]);
    expect([...assign(new Float64Array(0), 0)]).toEqual([]);
  });

  test("finds a hidden permutation of 300 rows", () => {
    const n = 300;
    const rows = Array.from({ length: n }, (_, i) => normals(i, 16, 1));
    const hidden = rows.map((_, i) => (i * 7 + 3) % n);
    const gains = Float64Array.from({ length: n * n }, (_, k) => {
      const [a, b] = [rows[Math.floor(k / n)]!, rows[hidden[k % n]!]!];
      return a.reduce((sum, x, d) => sum + x * b[d]!, 0);
    });
    const found = assign(gains, n);
    expect(hidden.every((row, column) => found[row] === column)).toBe(true);
  });

  test("refuses what is no matrix of finite gains", () => {
    expect(() => assign(new Float64Array(3), 2)).toThrow("3 gains are no matrix of 2 rows");
    expect(() => assign(Float64Array.of(Number.NaN), 1)).toThrow("not finite");
  });
});
