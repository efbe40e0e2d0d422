import { expect, test } from "bun:test";
import { inverse } from "../../../src/tensor/ops/inverse.ts";
import { covers } from "../../support/covers.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { checkOp } from "../../support/program.ts";
import { normals } from "../../support/random.ts";

covers("blocks/inverse", "blocks/inverse-gradient");

const gpu = await sharedGpu();

/** Matrices near the identity whose symmetric part is positive definite. */
function blocks(count: number, n: number): Float32Array {
  const values = normals(7, count * n * n, 0.3 / Math.sqrt(n));
  for (let e = 0; e < count; e++) for (let i = 0; i < n; i++) values[(e * n + i) * n + i]! += 1;
  return values;
}

/** By Gauss and Jordan, in f64. */
function inverted(x: Float64Array, count: number, n: number): Float64Array {
  const all = new Float64Array(x.length);
  for (let e = 0; e < count; e++) {
    const rows = Array.from({ length: n }, (_, i) => [
      ...x.subarray((e * n + i) * n, (e * n + i + 1) * n),
      ...Array.from({ length: n }, (_, j) => (i === j ? 1 : 0)),
    ]);
    for (let p = 0; p < n; p++) {
      const pivot = rows[p]![p]!;
      rows[p] = rows[p]!.map((value) => value / pivot);
      for (let i = 0; i < n; i++) {
        if (i === p) continue;
        const own = rows[i]![p]!;
        rows[i] = rows[i]!.map((value, j) => value - own * rows[p]![j]!);
      }
    }
    for (let i = 0; i < n; i++) all.set(rows[i]!.slice(n), (e * n + i) * n);
  }
  return all;
}

test.each([
  [5, 1],
  [3, 4],
  [2, 9],
  [1, 70],
])("%d matrices of side %d", async (count, n) => {
  const { forward } = await checkOp(gpu, "inverses", {
    inputs: { x: { shape: [count, n, n], data: blocks(count, n), grad: n < 16 } },
    build: (rec, { x }) => inverse(rec, x!),
    reference: ({ x }) => inverted(Float64Array.from(x!), count, n),
  });
  expect(forward).toBeLessThan(1e-4);
});
