/** Least squares that grow by one vector. */
import { expect, test } from "bun:test";
import { Pursuit } from "../../../src/merge/transplant/pursuit.ts";
import { symmetricSolve } from "../../../src/merge/transplant/symmetric-solve.ts";
import { normals } from "../../support/random.ts";

test("coefficients are those that made the target, also of nearly parallel vectors", () => {
  const n = 40;
  const first = Float64Array.from(normals(1, n));
  const other = normals(9, n);
  const vectors = [first, ...[2, 3, 4].map((seed) => Float64Array.from(normals(seed, n), (v) => v))];
  vectors.push(first.map((v, i) => v + 1e-6 * other[i]!));
  const wanted = [2, -1, 0.5, 3, -4];
  const target = Float64Array.from({ length: n }, (_, i) => wanted.reduce((sum, c, j) => sum + c * vectors[j]![i]!, 0));
  const pursuit = new Pursuit(target);
  for (const vector of vectors) expect(pursuit.add(vector)).toBe(true);
  for (const [j, c] of pursuit.coefficients().entries()) expect(Math.abs(c - wanted[j]!)).toBeLessThan(1e-7);
  expect(pursuit.explained).toBe(true);
});

test("a vector that the others explain is not taken, and changes nothing", () => {
  const pursuit = new Pursuit([1, 2, 3]);
  expect(pursuit.add([1, 0, 0])).toBe(true);
  expect(pursuit.add([2, 0, 0])).toBe(false);
  expect(pursuit.add([0, 0, 0])).toBe(false);
  expect(pursuit.add([1, 1, 0])).toBe(true);
  expect([...pursuit.coefficients()]).toEqual([-1, 2]);
  expect([...pursuit.residual]).toEqual([0, 0, 3]);
});

test("of many solutions the shortest", () => {
  // x + y = 2 twice over: (1, 1); worked by hand.
  expect([...symmetricSolve(Float64Array.of(1, 1, 1, 1), Float64Array.of(2, 2))].map((v) => v.toFixed(9))).toEqual([
    "1.000000000",
    "1.000000000",
  ]);
});
