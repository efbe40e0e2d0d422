/** Model Stock, per tensor and per row, against a computation in f64. */
import { beforeAll, expect, test } from "bun:test";
import type { Gpu } from "../../../../src/gpu/gpu.ts";
import { method, stockRatio } from "../../../../src/merge/methods/averages/model-stock.ts";
import { expectWithin } from "../../../support/floats.ts";
import { sharedGpu } from "../../../support/gpu.ts";
import { withJob } from "../../../support/job.ts";
import { normals } from "../../../support/random.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await sharedGpu();
});

/** t mean + (1 - t) base with one angle per group of places. */
function reference(base: Float32Array, models: Float32Array[], group: number): Float64Array {
  const out = new Float64Array(base.length);
  const n = models.length;
  for (let start = 0; start < base.length; start += group) {
    const deltas = models.map((x) => Array.from({ length: group }, (_, i) => x[start + i]! - base[start + i]!));
    const dot = (a: number[], b: number[]) => a.reduce((sum, x, i) => sum + x * b[i]!, 0);
    let cosine = 0;
    for (let i = 0; i < n; i++)
      for (let j = i + 1; j < n; j++)
        cosine += dot(deltas[i]!, deltas[j]!) / Math.sqrt(dot(deltas[i]!, deltas[i]!) * dot(deltas[j]!, deltas[j]!));
    cosine /= (n * (n - 1)) / 2;
    const t = (n * cosine) / (1 + (n - 1) * cosine);
    for (let i = 0; i < group; i++)
      out[start + i] = base[start + i]! + (t / n) * deltas.reduce((sum, delta) => sum + delta[i]!, 0);
  }
  return out;
}

for (const filter_wise of [false, true]) {
  test(`pulls to the base by the angle of ${filter_wise ? "each row" : "the tensor"}`, async () => {
    const [rows, columns] = [21, 257];
    const base = normals(1, rows * columns);
    const shared = normals(2, rows * columns);
    const models = [3, 4, 5].map((seed) => normals(seed, rows * columns).map((x, i) => base[i]! + x + shared[i]!));
    const given = { base, models, values: { filter_wise }, shape: [rows, columns], settings: { chunkValues: 1028 } };
    const { written } = await withJob(gpu, given, (job) => method.merge(job));
    expectWithin(written, reference(base, models, filter_wise ? columns : rows * columns), () => 2e-5);
  });
}

test("one model alone is refused, none gives the base", async () => {
  const base = normals(1, 9);
  const run = (models: Float32Array[]) =>
    withJob(gpu, { base, models, values: { filter_wise: false }, shape: [9] }, (job) => method.merge(job));
  await expect(run([base])).rejects.toThrow("w: only one model has this tensor");
  expect([...(await run([])).written]).toEqual([...base]);
  expect(
    stockRatio([
      [1, 0],
      [0, 1],
    ]),
  ).toBe(0);
  expect(
    stockRatio([
      [4, 2],
      [2, 1],
    ]),
  ).toBe(1);
});
