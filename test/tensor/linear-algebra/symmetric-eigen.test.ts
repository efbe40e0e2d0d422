import { expect, test } from "bun:test";
import { symmetricEigen } from "../../../src/tensor/linear-algebra/symmetric-eigen.ts";
import { normal } from "../../experiments/support.ts";

function symmetric(n: number, seed: number): Float64Array {
  const next = normal(seed);
  const a = new Float64Array(n * n);
  for (let i = 0; i < n; i++) for (let j = i; j < n; j++) a[i * n + j] = a[j * n + i] = next();
  return a;
}

/** Largest deviation of V A V^T from the diagonal of values, and of V V^T from the identity. */
function errors(a: Float64Array, n: number): [number, number] {
  const { values, vectors: v } = symmetricEigen(a, n);
  let [form, orthogonal] = [0, 0];
  for (let p = 0; p < n; p++) {
    for (let q = 0; q < n; q++) {
      let [vav, vv] = [0, 0];
      for (let i = 0; i < n; i++) {
        let av = 0;
        for (let j = 0; j < n; j++) av += a[i * n + j]! * v[q * n + j]!;
        vav += v[p * n + i]! * av;
        vv += v[p * n + i]! * v[q * n + i]!;
      }
      form = Math.max(form, Math.abs(vav - (p === q ? values[p]! : 0)));
      orthogonal = Math.max(orthogonal, Math.abs(vv - (p === q ? 1 : 0)));
    }
  }
  return [form, orthogonal];
}

test("diagonalises random matrices to rounding, eigenvalues descending", () => {
  for (const n of [1, 2, 3, 5, 17, 64]) {
    const a = symmetric(n, n);
    const [form, orthogonal] = errors(a, n);
    expect(form).toBeLessThan(1e-12 * n);
    expect(orthogonal).toBeLessThan(1e-13 * n);
    const { values } = symmetricEigen(a, n);
    expect([...values].sort((x, y) => y - x)).toEqual([...values]);
  }
});

test("knows the spectrum of the path graph: 2 - 2 cos(j pi / (n + 1))", () => {
  const n = 31;
  const a = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    a[i * n + i] = 2;
    if (i + 1 < n) a[i * n + i + 1] = a[(i + 1) * n + i] = -1;
  }
  const { values } = symmetricEigen(a, n);
  for (let j = 1; j <= n; j++) expect(values[n - j]!).toBeCloseTo(2 - 2 * Math.cos((j * Math.PI) / (n + 1)), 12);
});

test("repeated, zero and negative eigenvalues", () => {
  expect([...symmetricEigen(new Float64Array(9), 3).values]).toEqual([0, 0, 0]);
  const ones = new Float64Array(16).fill(1);
  const { values } = symmetricEigen(ones, 4);
  expect(values[0]!).toBeCloseTo(4, 12);
  for (const value of values.subarray(1)) expect(Math.abs(value)).toBeLessThan(1e-12);
  expect([...symmetricEigen(new Float64Array([0, 2, 2, 0]), 2).values].map((x) => Math.round(x))).toEqual([2, -2]);
});

test("refuses values that are not finite and leaves its argument alone", () => {
  expect(() => symmetricEigen(new Float64Array([1, Number.NaN, 0, 1]), 2)).toThrow(
    "eigenvalues of a matrix with values that are not finite",
  );
  const a = symmetric(4, 1);
  const before = a.slice();
  symmetricEigen(a, 4);
  expect(a).toEqual(before);
});
