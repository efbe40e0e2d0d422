/** Products run at once. That their kernels are right in every variant is tested in products.test.ts. */
import { beforeAll, expect, test } from "bun:test";
import type { Gpu } from "../../../src/gpu/gpu.ts";
import { matmul } from "../../../src/tensor/linear-algebra/matmul.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { normals } from "../../support/random.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await sharedGpu();
});

test("nn, nt and tn agree with f64, written or added, for odd sizes", async () => {
  for (const [m, n, k] of [
    [1, 1, 1],
    [3, 5, 7],
    [33, 31, 17],
    [64, 32, 16],
    [2, 257, 65],
    [100, 3, 129],
  ] as const) {
    for (const form of ["nn", "nt", "tn"] as const) {
      const [x, y, z] = [normals(1, m * k), normals(2, k * n), normals(3, m * n)];
      using a = gpu.upload(x, "a");
      using b = gpu.upload(y, "b");
      using c = gpu.upload(z, "c");
      const product = {
        form,
        a: { buffer: a.buffer, ...(form === "tn" ? { rows: k, columns: m } : { rows: m, columns: k }) },
        b: { buffer: b.buffer, ...(form === "nt" ? { rows: n, columns: k } : { rows: k, columns: n }) },
        c: { buffer: c.buffer, rows: m, columns: n },
      };
      await matmul(gpu, { ...product, scale: -0.5, accumulate: true });
      const added = await gpu.readFloats(c.buffer, m * n);
      await matmul(gpu, product);
      const written = await gpu.readFloats(c.buffer, m * n);
      let worst = 0;
      for (let i = 0; i < m; i++) {
        for (let j = 0; j < n; j++) {
          let sum = 0;
          for (let d = 0; d < k; d++) {
            sum += x[form === "tn" ? d * m + i : i * k + d]! * y[form === "nt" ? j * k + d : d * n + j]!;
          }
          worst = Math.max(worst, Math.abs(added[i * n + j]! - (z[i * n + j]! - 0.5 * sum)));
          worst = Math.max(worst, Math.abs(written[i * n + j]! - sum));
        }
      }
      expect(worst).toBeLessThan(1e-6 * (4 + k));
    }
  }
});

test("begins where it is told to and leaves the rest alone", async () => {
  using a = gpu.upload(
    Float32Array.from({ length: 10 }, (_, i) => i),
    "a",
  );
  using b = gpu.upload(new Float32Array([9, 1, 0, 0, 1]), "b");
  using c = gpu.upload(new Float32Array(9).fill(-1), "c");
  const two = { rows: 2, columns: 2 };
  await matmul(gpu, {
    form: "nn",
    a: { buffer: a.buffer, start: 6, ...two },
    b: { buffer: b.buffer, start: 1, ...two },
    c: { buffer: c.buffer, start: 3, ...two },
  });
  expect([...(await gpu.readFloats(c.buffer, 9))]).toEqual([-1, -1, -1, 6, 7, 8, 9, -1, -1]);
});

test("shapes that do not fit are refused", async () => {
  using x = gpu.upload(new Float32Array(6), "x");
  const matrix = { buffer: x.buffer, rows: 2, columns: 3 };
  await expect(matmul(gpu, { form: "nn", a: matrix, b: matrix, c: matrix })).rejects.toThrow(
    "product of (2, 3) and (2, 3) does not give (2, 3)",
  );
});
