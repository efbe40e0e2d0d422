/** The upper factor of the inverse of second moments, against the same in f64. */
import { expect, test } from "bun:test";
import { choleskyFactor } from "../../../src/tensor/linear-algebra/cholesky.ts";
import { diagonalOf, inverseFactor } from "../../../src/tensor/linear-algebra/inverse-factor.ts";
import { covers } from "../../support/covers.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { gramOf } from "../../support/layer.ts";
import { normals } from "../../support/random.ts";

covers(
  "linear-algebra/take-diagonal",
  "linear-algebra/damp-reversed",
  "linear-algebra/factor-block",
  "linear-algebra/reverse-triangle",
);

const gpu = await sharedGpu();

/** Second moments of rows whose inputs are mixed and of several sizes. */
function moments(n: number): Float32Array {
  const x = normals(n, 2 * n * n);
  for (let i = 0; i < x.length; i++) x[i]! *= 1 + 3 * ((i % n) % 3);
  for (let i = 1; i < x.length; i++) x[i]! += 0.5 * x[i - 1]!;
  return Float32Array.from(gramOf(x, n).gram);
}

const held = (matrix: Float32Array) => {
  const n = Math.sqrt(matrix.length);
  const buffer = gpu.upload(matrix, "moments");
  return { gram: { buffer: buffer.buffer, rows: n, columns: n }, [Symbol.dispose]: () => buffer.free() };
};

/** U in f64: P M^-1 P with P (H + damping) P = M M^T. */
function expected(h: Float32Array, n: number, damping: number, order: readonly number[]): Float64Array {
  const at = (i: number, j: number) => h[order[i]! * n + order[j]!]! + (i === j ? damping : 0);
  const turned = Float64Array.from({ length: n * n }, (_, k) => at(n - 1 - Math.floor(k / n), n - 1 - (k % n)));
  const m = choleskyFactor(turned, n)!;
  const u = new Float64Array(n * n);
  for (let j = 0; j < n; j++) {
    const column = new Float64Array(n);
    for (let i = j; i < n; i++) {
      let sum = i === j ? 1 : 0;
      for (let k = j; k < i; k++) sum -= m[i * n + k]! * column[k]!;
      column[i] = sum / m[i * n + i]!;
      u[(n - 1 - i) * n + (n - 1 - j)] = column[i]!;
    }
  }
  return u;
}

test.each([1, 3, 63, 64, 65, 150])("%d inputs agree with f64, in any order", async (n) => {
  const h = moments(n);
  using matrix = held(h);
  const order = Uint32Array.from({ length: n }, (_, i) => (7 * i + 2) % n);
  const orders = n % 7 === 0 ? [undefined] : [undefined, order];
  for (const one of orders) {
    using found = await inverseFactor(gpu, matrix.gram, { damp: 0.01, ...(one ? { order: one } : {}) });
    const mean = h.reduce((sum, x, k) => sum + (k % (n + 1) === 0 ? x : 0), 0) / n;
    expect(found.damping).toBeCloseTo(0.01 * mean, 6);
    expect(found.dead).toEqual([]);
    const wanted = expected(h, n, found.damping, [...(one ?? h.slice(0, n).keys())]);
    const u = await gpu.readFloats(found.factor.buffer, n * n);
    const largest = wanted.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
    const worst = u.reduce((most, x, k) => Math.max(most, Math.abs(x - wanted[k]!)), 0);
    expect(worst / largest).toBeLessThan(1e-5);
  }
});

test("the diagonal comes as it is", async () => {
  const h = moments(65);
  using matrix = held(h);
  expect(await diagonalOf(gpu, matrix.gram)).toEqual(Float32Array.from({ length: 65 }, (_, i) => h[66 * i]!));
});

test("an input that is always 0 counts as 1, in the mean too", async () => {
  using matrix = held(new Float32Array([4, 0, 1, 0, 0, 0, 1, 0, 4]));
  using found = await inverseFactor(gpu, matrix.gram, { damp: 0.5 });
  expect([...found.dead]).toEqual([1]);
  expect(found.damping).toBe(1.5);
  const u = await gpu.readFloats(found.factor.buffer, 9);
  expect(u[4]).toBeCloseTo(1 / Math.sqrt(2.5), 6);
  expect([u[1], u[3], u[5], u[7]]).toEqual([0, 0, 0, 0]);
});

test("more damping is added until pivots are positive, and not without end", async () => {
  using matrix = held(new Float32Array([1, 2, 2, 1]));
  using found = await inverseFactor(gpu, matrix.gram, { damp: 0.3 });
  expect(found.damping).toBeCloseTo(1.2, 6);
  await expect(inverseFactor(gpu, matrix.gram, { damp: 0.01 })).rejects.toThrow("have no Cholesky factor");
  using broken = held(new Float32Array([1, Number.NaN, Number.NaN, 1]));
  await expect(inverseFactor(gpu, broken.gram, { damp: 1 })).rejects.toThrow("2 inputs have no Cholesky factor");
});
