/** NearSwap against a loop in f64. */
import { beforeAll, expect, test } from "bun:test";
import type { Gpu } from "../../../../src/gpu/gpu.ts";
import { method } from "../../../../src/merge/methods/pairs/nearswap.ts";
import { expectWithin } from "../../../support/floats.ts";
import { sharedGpu } from "../../../support/gpu.ts";
import { withJob } from "../../../support/job.ts";
import { normals } from "../../../support/random.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await sharedGpu();
});

test("takes the model where it is near, and t's share of the distance elsewhere", async () => {
  for (const size of [1, 3, 255, 5000]) {
    const [base, model] = [normals(1, size), normals(2, size)];
    base[0] = model[0]!;
    for (const t of [0, 0.3, 2]) {
      const given = { base, models: [model], values: { t }, settings: { chunkValues: 1024 } };
      const { written } = await withJob(gpu, given, (job) => method.merge(job));
      const wanted = Float64Array.from(base, (b, i) => {
        const apart = model[i]! - b;
        const share = apart === 0 ? 1 : Math.min(1, t / Math.abs(apart));
        return b + share * apart;
      });
      expectWithin(written, wanted, () => 1e-6);
      expect(written[0]).toBe(model[0]!);
    }
  }
});
