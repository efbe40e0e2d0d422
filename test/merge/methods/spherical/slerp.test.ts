/** Slerp against a computation in f64. */
import { beforeAll, expect, test } from "bun:test";
import type { Gpu } from "../../../../src/gpu/gpu.ts";
import { method, slerpWeights } from "../../../../src/merge/methods/spherical/slerp.ts";
import { expectWithin } from "../../../support/floats.ts";
import { sharedGpu } from "../../../support/gpu.ts";
import { withJob } from "../../../support/job.ts";
import { normals } from "../../../support/random.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await sharedGpu();
});

const dot = (a: Float32Array, b: Float32Array): number => a.reduce((sum, x, i) => sum + x * b[i]!, 0);

for (const size of [3, 255, 257, 10_007]) {
  test(`goes along the great circle through ${size} values`, async () => {
    const [base, model] = [normals(1, size), normals(2, size, 0.5, 0.1)];
    for (const t of [0.3, 1.25, -0.5]) {
      const given = { base, models: [model], values: { t }, settings: { chunkValues: 4096 } };
      const { written } = await withJob(gpu, given, (job) => method.merge(job));
      const angle = Math.acos(dot(base, model) / Math.sqrt(dot(base, base) * dot(model, model)));
      const [from, to] = [Math.sin((1 - t) * angle) / Math.sin(angle), Math.sin(t * angle) / Math.sin(angle)];
      expectWithin(
        written,
        Float64Array.from(base, (x, i) => from * x + to * model[i]!),
        () => 1e-5,
      );
    }
  });
}

test("nearly parallel, nearly opposite and zero tensors go in a straight line", () => {
  expect(slerpWeights(1, 0.9996, 1, 0.25)).toEqual([0.75, 0.25]);
  expect(slerpWeights(1, -0.9996, 1, 0.25)).toEqual([0.75, 0.25]);
  const [from, to] = slerpWeights(0, 0, 1, 0.25); // a zero vector is taken for one at a right angle
  expect(from).toBeCloseTo(Math.sin(0.75 * (Math.PI / 2)), 12);
  expect(to).toBeCloseTo(Math.sin(0.25 * (Math.PI / 2)), 12);
});

test("compatibility mode leaves the steps unrounded, as mergekit computes them in f32", async () => {
  const [base, model] = [normals(1, 257), normals(2, 257)];
  const given = {
    base,
    models: [model],
    values: { t: 0.3 },
    dtype: "BF16",
    outDtype: "BF16",
    workDtype: "BF16",
  } as const;
  const run = (compatRounding: boolean) =>
    withJob(gpu, { ...given, settings: { compatRounding } }, (job) => method.merge(job));
  expect((await run(true)).written).toEqual((await run(false)).written);
});
