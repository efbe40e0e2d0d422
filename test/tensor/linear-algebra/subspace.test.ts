/** Leading subspaces against the exact decomposition. */
import { beforeAll, expect, test } from "bun:test";
import type { Gpu } from "../../../src/gpu/gpu.ts";
import { leadingSubspace } from "../../../src/tensor/linear-algebra/subspace.ts";
import { svd } from "../../../src/tensor/linear-algebra/svd.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { normals } from "../../support/random.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await sharedGpu();
});

test("the leading subspace is that of the exact decomposition", async () => {
  for (const [rows, columns, rank] of [
    [40, 25, 5],
    [25, 70, 9],
    [31, 31, 1],
  ] as const) {
    // A spectrum that falls by half at the rank, so that the subspace is well defined.
    const { u, v } = svd(normals(rows, rows * columns), rows, columns);
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
