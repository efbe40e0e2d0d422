/** NuSlerp of tensors, rows and columns against a computation in f64. */
import { beforeAll, expect, test } from "bun:test";
import type { Gpu } from "../../../../src/gpu/gpu.ts";
import { method, nuslerpWeights } from "../../../../src/merge/methods/spherical/nuslerp.ts";
import { expectWithin } from "../../../support/floats.ts";
import { sharedGpu } from "../../../support/gpu.ts";
import { withJob } from "../../../support/job.ts";
import { normals } from "../../../support/random.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await sharedGpu();
});

/** Interpolates each group of places as one vector. */
function reference(a: Float32Array, b: Float32Array, group: (i: number) => number, t: number): Float64Array {
  const groups = new Map<number, [number, number, number]>();
  for (let i = 0; i < a.length; i++) {
    const sums = groups.get(group(i)) ?? [0, 0, 0];
    groups.set(group(i), [sums[0] + a[i]! ** 2, sums[1] + a[i]! * b[i]!, sums[2] + b[i]! ** 2]);
  }
  return Float64Array.from(a, (x, i) => {
    const [aa, ab, bb] = groups.get(group(i))!;
    const angle = Math.acos(Math.min(1, Math.max(-1, ab / Math.sqrt(aa * bb))));
    const sine = Math.sin(angle);
    if (Math.abs(sine) < 1e-6) return (1 - t) * x + t * b[i]!;
    return (Math.sin((1 - t) * angle) * x + Math.sin(t * angle) * b[i]!) / sine;
  });
}

const [rows, columns] = [40, 257];
const axes: [string, Record<string, boolean>, (i: number) => number][] = [
  ["whole tensors", { nuslerp_flatten: true, nuslerp_row_wise: false }, () => 0],
  ["rows", { nuslerp_flatten: false, nuslerp_row_wise: false }, (i) => Math.floor(i / columns)],
  ["columns", { nuslerp_flatten: false, nuslerp_row_wise: true }, (i) => i % columns],
];
for (const [what, axis, group] of axes) {
  for (const withBase of [false, true]) {
    test(`interpolates ${what}${withBase ? " of task vectors" : ""}, in several chunks`, async () => {
      const [a, b, base] = [1, 2, 3].map((seed) => normals(seed, rows * columns)) as Float32Array[];
      const values = { weight: [3, 1], ...axis } as never;
      const given = { models: [a!, b!], ...(withBase && { base: base! }), values, shape: [rows, columns] };
      const { written } = await withJob(gpu, { ...given, settings: { chunkValues: 1028 } }, (job) => method.merge(job));
      const from = (x: Float32Array) => (withBase ? x.map((value, i) => value - base![i]!) : x);
      const between = reference(from(a!), from(b!), group, 0.25);
      const wanted = between.map((x, i) => x + (withBase ? base![i]! : 0));
      expectWithin(written, wanted, () => 3e-5);
    });
  }
}

test("weights that sum to 0 mean halfway; the same direction is a straight line", async () => {
  const [a, b] = [1, 2].map((seed) => normals(seed, 100)) as [Float32Array, Float32Array];
  const values = { weight: [1, -1], nuslerp_flatten: true, nuslerp_row_wise: false };
  const { written } = await withJob(gpu, { models: [a, b], values }, (job) => method.merge(job));
  expectWithin(
    written,
    reference(a, b, () => 0, 0.5),
    () => 1e-5,
  );
  expect(nuslerpWeights(1, 2, 4, 0.25)).toEqual([0.75, 0.25]);
});
