/** TIES against a loop in f64. */
import { beforeAll, expect, test } from "bun:test";
import type { Gpu } from "../../../../src/gpu/gpu.ts";
import { method as ties } from "../../../../src/merge/methods/task-vectors/ties.ts";
import { expectWithin } from "../../../support/floats.ts";
import { sharedGpu } from "../../../support/gpu.ts";
import { writtenBy } from "../../../support/job.ts";
import { normals } from "../../../support/random.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await sharedGpu();
});

const common = { lambda: 0.7, int8_mask: false };
const rescaling = { rescale: false, rescale_norm: "l1" as const };

for (const size of [3, 255, 257, 5000]) {
  for (const normalize of [true, false]) {
    test(`ties trims, elects and averages ${size} values${normalize ? "" : ", without normalizing"}`, async () => {
      const [base, ...models] = [1, 2, 3, 4].map((seed) => normals(seed, size)) as [Float32Array, ...Float32Array[]];
      const weight = [0.5, 1, 0.25];
      const density = [0.4, 0.7, 1];
      const values = { ...common, ...rescaling, weight, density, normalize };
      const given = { base, models, values, settings: { chunkValues: 1024 } };
      const written = await writtenBy(gpu, ties, given);
      const trimmed = models.map((x, k) => {
        const delta = x.map((value, i) => value - base[i]!);
        const order = [...delta.keys()].sort((a, b) => Math.abs(delta[b]!) - Math.abs(delta[a]!) || a - b);
        const kept = new Set(order.slice(0, Math.floor(density[k]! * size)));
        return delta.map((value, i) => (kept.has(i) ? value : 0));
      });
      const wanted = Float64Array.from(base, (b, i) => {
        const sign = Math.sign(trimmed.reduce((sum, delta, k) => sum + weight[k]! * delta[i]!, 0)) || 1;
        const agreeing = trimmed.flatMap((delta, k) => (delta[i]! * sign > 0 ? [{ x: delta[i]!, w: weight[k]! }] : []));
        const sum = agreeing.reduce((total, { x, w }) => total + w * x, 0);
        const share = agreeing.reduce((total, { w }) => total + w, 0);
        return b + 0.7 * (normalize && share > 0 ? sum / share : sum);
      });
      expectWithin(written, wanted, () => 3e-6);
    });
  }
}

test("a density that keeps less than one value keeps the largest, and one of 0 is refused by tensor", async () => {
  const given = { base: Float32Array.of(1, 1, 1), models: [Float32Array.of(2, -3, 1)] };
  const values = (density: number) => ({ ...common, ...rescaling, weight: [1], density: [density], normalize: true });
  expect(await writtenBy(gpu, ties, { ...given, values: values(0.2) })).toEqual(Float32Array.of(1, -1.8, 1)); // lambda 0.7
  const none = writtenBy(gpu, ties, { ...given, values: values(0) });
  await expect(none).rejects.toThrow("w: density 0 keeps none of its 3 values");
});
