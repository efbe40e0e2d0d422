import { afterAll, beforeAll, expect, test } from "bun:test";
import { type Gpu, openGpu } from "../../src/gpu/gpu.ts";
import { matmul } from "../../src/tensor/linear-algebra/matmul.ts";
import { leadingSubspace } from "../../src/tensor/linear-algebra/subspace.ts";
import { svd } from "../../src/tensor/linear-algebra/svd.ts";
import { normal, randomArray } from "../experiments/support.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu();
});
afterAll(() => gpu.close());

const random = (n: number, seed: number) => Float32Array.from(randomArray(n, normal(seed)));

test("NN, NT and TN agree with f64 for odd sizes, alpha and beta", async () => {
  for (const [m, n, k] of [
    [1, 1, 1],
    [3, 5, 7],
    [33, 31, 17],
    [64, 32, 16],
    [2, 257, 65],
    [100, 3, 129],
  ] as const) {
    for (const [transposeA, transposeB] of [
      [false, false],
      [false, true],
      [true, false],
      [true, true],
    ] as const) {
      const [x, y, z] = [random(m * k, 1), random(k * n, 2), random(m * n, 3)];
      using a = gpu.upload(x, "a");
      using b = gpu.upload(y, "b");
      using c = gpu.upload(z, "c");
      await matmul(gpu, {
        a: transposeA ? { buffer: a.buffer, rows: k, columns: m } : { buffer: a.buffer, rows: m, columns: k },
        b: transposeB ? { buffer: b.buffer, rows: n, columns: k } : { buffer: b.buffer, rows: k, columns: n },
        c: { buffer: c.buffer, rows: m, columns: n },
        transposeA,
        transposeB,
        alpha: -0.5,
        beta: 2,
      });
      const found = await gpu.readFloats(c.buffer, m * n);
      let worst = 0;
      for (let i = 0; i < m; i++) {
        for (let j = 0; j < n; j++) {
          let sum = 0;
          for (let d = 0; d < k; d++) {
            sum += x[transposeA ? d * m + i : i * k + d]! * y[transposeB ? j * k + d : d * n + j]!;
          }
          worst = Math.max(worst, Math.abs(found[i * n + j]! - (2 * z[i * n + j]! - 0.5 * sum)));
        }
      }
      expect(worst).toBeLessThan(1e-6 * (4 + k));
    }
  }
});

test("works on parts of larger matrices and leaves the rest alone", async () => {
  using a = gpu.upload(
    Float32Array.from({ length: 20 }, (_, i) => i),
    "a",
  ); // (4, 5)
  using b = gpu.upload(new Float32Array([1, 0, 0, 1]), "b");
  using c = gpu.upload(new Float32Array(12).fill(-1), "c"); // (3, 4)
  await matmul(gpu, {
    a: { buffer: a.buffer, rows: 2, columns: 2, start: 6, stride: 5 },
    b: { buffer: b.buffer, rows: 2, columns: 2 },
    c: { buffer: c.buffer, rows: 2, columns: 2, start: 5, stride: 4 },
  });
  expect([...(await gpu.readFloats(c.buffer, 12))]).toEqual([-1, -1, -1, -1, -1, 6, 7, -1, -1, 11, 12, -1]);
});

test("shapes that do not fit are refused", async () => {
  using x = gpu.upload(new Float32Array(6), "x");
  const matrix = { buffer: x.buffer, rows: 2, columns: 3 };
  await expect(matmul(gpu, { a: matrix, b: matrix, c: matrix })).rejects.toThrow(
    "product of (2, 3) and (2, 3) does not give (2, 3)",
  );
});

test("the leading subspace is that of the exact decomposition", async () => {
  for (const [rows, columns, rank] of [
    [40, 25, 5],
    [25, 70, 9],
    [31, 31, 1],
  ] as const) {
    // A spectrum that falls by half at the rank, so that the subspace is well defined.
    const { u, v } = svd(random(rows * columns, rows), rows, columns);
    const r = Math.min(rows, columns);
    const s = Array.from({ length: r }, (_, j) => (j < rank ? 2 - j / rank : 0.5 / (1 + j)));
    const matrix = Float32Array.from({ length: rows * columns }, (_, at) => {
      const [i, c] = [Math.floor(at / columns), at % columns];
      return s.reduce((sum, value, j) => sum + value * u[i * r + j]! * v[c * r + j]!, 0);
    });
    using a = gpu.upload(matrix, "a");
    using basis = await leadingSubspace(gpu, { buffer: a.buffer, rows, columns }, rank);
    const q = await gpu.readFloats(basis.buffer, rows * rank);
    for (let j = 0; j < rank; j++) {
      for (let l = 0; l < rank; l++) {
        let dot = 0;
        for (let i = 0; i < rows; i++) dot += q[i * rank + j]! * q[i * rank + l]!;
        expect(dot).toBeCloseTo(j === l ? 1 : 0, 4);
      }
      // The part of each exact vector that the basis misses.
      let inside = 0;
      for (let l = 0; l < rank; l++) {
        let dot = 0;
        for (let i = 0; i < rows; i++) dot += u[i * r + j]! * q[i * rank + l]!;
        inside += dot * dot;
      }
      expect(inside).toBeGreaterThan(1 - 1e-4);
    }
  }
});
