/** Multislerp against a computation in f64. */
import { beforeAll, expect, test } from "bun:test";
import type { Gpu } from "../../../../src/gpu/gpu.ts";
import { method } from "../../../../src/merge/methods/spherical/multislerp.ts";
import { expectWithin } from "../../../support/floats.ts";
import { sharedGpu } from "../../../support/gpu.ts";
import { withJob } from "../../../support/job.ts";
import { normals } from "../../../support/random.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await sharedGpu();
});

const length = (x: ArrayLike<number>): number =>
  Math.sqrt(Array.from(x).reduce((sum, value) => sum + value * value, 0));

test("is the mean direction at the mean length, with and without a base", async () => {
  const weight = [0.2, 0.5, 0.3];
  for (const withBase of [false, true]) {
    const models = [1, 2, 3].map((seed) => normals(seed, 5000, 1, 0.2));
    const base = normals(4, 5000);
    const values = { weight, normalize_weights: true, eps: 1e-8 };
    const given = { models, ...(withBase && { base }), values, settings: { chunkValues: 1024 } };
    const { written } = await withJob(gpu, given, (job) => method.merge(job));
    const deltas = models.map((x) => Float64Array.from(x, (value, i) => value - (withBase ? base[i]! : 0)));
    const lengths = deltas.map(length);
    const sum = Float64Array.from(base, (_, i) =>
      deltas.reduce((t, x, k) => t + (weight[k]! * x[i]!) / lengths[k]!, 0),
    );
    const scale = lengths.reduce((t, x, k) => t + weight[k]! * x, 0) / length(sum);
    expectWithin(
      written,
      sum.map((x, i) => scale * x + (withBase ? base[i]! : 0)),
      () => 2e-5,
    );
  }
});

test("opposite directions: two go in a straight line, more are refused", async () => {
  const a = normals(1, 64);
  const back = a.map((x) => -x);
  const run = (models: Float32Array[], weight: number[]) =>
    withJob(gpu, { models, values: { weight, normalize_weights: true, eps: 1e-6 } }, (job) => method.merge(job));
  expectWithin((await run([a, back], [1, 1])).written, new Float32Array(64), () => 0);
  await expect(run([a, back, a, back], [1, 1, 1, 1])).rejects.toThrow("w: the models' directions cancel out");
  await expect(run([a, back], [1, -1])).rejects.toThrow("w: the weights sum to 0");
});
