/** Task arithmetic against a loop in f64. */
import { beforeAll, test } from "bun:test";
import type { Gpu } from "../../../../src/gpu/gpu.ts";
import { method as taskArithmetic } from "../../../../src/merge/methods/task-vectors/task-arithmetic.ts";
import { expectWithin } from "../../../support/floats.ts";
import { sharedGpu } from "../../../support/gpu.ts";
import { writtenBy } from "../../../support/job.ts";
import { normals } from "../../../support/random.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await sharedGpu();
});

const common = { lambda: 0.7, int8_mask: false };

test("task arithmetic adds weighted task vectors, normalized or not", async () => {
  const [base, ...models] = [1, 2, 3].map((seed) => normals(seed, 5000)) as [Float32Array, ...Float32Array[]];
  const weight = [0.8, -0.3];
  for (const normalize of [false, true]) {
    const values = { ...common, weight, normalize };
    const given = { base, models, values, settings: { chunkValues: 1024 } };
    const written = await writtenBy(gpu, taskArithmetic, given);
    const wanted = Float64Array.from(base, (b, i) => {
      const sum = models.reduce((total, x, k) => total + weight[k]! * (x[i]! - b), 0);
      return b + 0.7 * (normalize ? sum / 0.5 : sum);
    });
    expectWithin(written, wanted, () => 3e-6);
  }
});
