/** The weighted average against a loop in f64. */
import { beforeAll, expect, test } from "bun:test";
import type { Gpu } from "../../../../src/gpu/gpu.ts";
import { method } from "../../../../src/merge/methods/averages/linear.ts";
import { expectWithin } from "../../../support/floats.ts";
import { sharedGpu } from "../../../support/gpu.ts";
import { withJob } from "../../../support/job.ts";
import { normals } from "../../../support/random.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await sharedGpu();
});

for (const size of [1, 3, 255, 257, 10_007]) {
  for (const normalize of [true, false]) {
    test(`averages ${size} values, ${normalize ? "normalized" : "as weighed"}`, async () => {
      const models = [1, 2, 3].map((seed) => normals(seed, size));
      const weight = [0.5, -0.25, 1.5];
      const values = { weight, normalize };
      const { written } = await withJob(gpu, { models, values, settings: { chunkValues: 4096 } }, (job) =>
        method.merge(job),
      );
      const wanted = Float64Array.from(models[0]!, (_, i) => {
        const sum = models.reduce((total, x, k) => total + weight[k]! * x[i]!, 0);
        return normalize ? sum / 1.75 : sum;
      });
      expectWithin(written, wanted, () => 1e-6);
    });
  }
}

test("weights that sum to 0 are refused by tensor, unless they are taken as they are", async () => {
  const models = [1, 2].map((seed) => normals(seed, 5));
  const run = (normalize: boolean) =>
    withJob(gpu, { models, values: { weight: [1, -1], normalize } }, (job) => method.merge(job));
  await expect(run(true)).rejects.toThrow("w: the weights sum to 0");
  const { written } = await run(false);
  expectWithin(
    written,
    models[0]!.map((x, i) => x - models[1]![i]!),
    () => 0,
  );
});

test("in compatibility mode the weights are rounded before they are summed, so that equal models give themselves", async () => {
  // 0.6 is 0.6015625 in bf16; divided by 1.1 instead of 1.1015625, 0.5 x + 0.6 x comes out a unit too large.
  const model = Float32Array.of(1.984375, -0.9921875, 3.96875, -0.49609375);
  const { written } = await withJob(
    gpu,
    {
      models: [model, model],
      values: { weight: [0.5, 0.6], normalize: true },
      dtype: "BF16",
      workDtype: "BF16",
      settings: { compatRounding: true },
    },
    (job) => method.merge(job),
  );
  expect(written).toEqual(model);
});
