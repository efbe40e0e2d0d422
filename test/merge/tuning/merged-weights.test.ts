import { beforeAll, expect, test } from "bun:test";
import type { Gpu } from "../../../src/gpu/gpu.ts";
import { REDUCE_SPAN, spanGroups } from "../../../src/gpu/grid.ts";
import { valuesOf } from "../../../src/merge/job/run.ts";
import { method as adamerging } from "../../../src/merge/methods/task-vectors/adamerging.ts";
import { Columns, groupsOf } from "../../../src/merge/tuning/groups.ts";
import { MergedWeights } from "../../../src/merge/tuning/merged-weights.ts";
import { Model } from "../../../src/model/model.ts";
import { inFlag } from "../../../src/tensor/load.ts";
import { covers } from "../../support/covers.ts";
import { OPERANDS, rounded } from "../../support/floats.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { normals } from "../../support/random.ts";
import { stackOf } from "../../support/stack.ts";
import { checkpointOf, LLAMA, learner } from "./world.ts";

covers("merge/gradient-dots");

let gpu: Gpu;
beforeAll(async () => {
  gpu = await sharedGpu();
});

const SIZES = [1, 3, 255, 4 * REDUCE_SPAN, 4 * REDUCE_SPAN + 5, 50_001];

test.each(OPERANDS)("the inner products of a gradient with %s task vectors are those of f64", async (dtype) => {
  for (const size of SIZES) {
    const [base, ...models] = [0, 1, 2].map((k) => rounded(normals(size + k, size), dtype));
    const gradient = normals(size + 9, size);
    using stack = stackOf(gpu, dtype, [base!, ...models]);
    // What lies behind the last value must not count.
    const padded = new Float32Array(4 * stack.n4).fill(Number.NaN);
    padded.set(gradient);
    using held = gpu.upload(padded, "gradient");
    const spans = Math.ceil(stack.n4 / REDUCE_SPAN);
    using partials = gpu.upload(new Float32Array(1 + 2 * spans), "partials");
    gpu.run(await gpu.kernel("merge/gradient-dots", { flags: inFlag(dtype) }), {
      bind: { stack: stack.buffer, gradient: held.buffer, partials: partials.buffer },
      params: { n: size, pitch: stack.pitch, k: 2, first: 1 },
      groups: spanGroups(stack.n4, REDUCE_SPAN),
    });
    const [untouched, ...found] = await gpu.readFloats(partials.buffer, 1 + 2 * spans);
    expect(untouched).toBe(0);
    for (const [k, model] of models.entries()) {
      let wanted = 0;
      let size = 0;
      for (const [i, x] of model.entries()) {
        wanted += gradient[i]! * Math.fround(x - base![i]!);
        size += Math.abs(gradient[i]! * (x - base![i]!));
      }
      const sum = found.filter((_, i) => i % 2 === k).reduce((a, b) => a + b, 0);
      expect(Math.abs(sum - wanted)).toBeLessThanOrEqual(1e-6 * size);
    }
  }
});

const VALUES = { granularity: "tensor", fromDepth: 0, option: "weight" } as const;

/** The tiny model as a merge of two, with coefficients of every tensor. */
async function merged(offload: boolean, chunkValues?: number) {
  const base = await checkpointOf("base", LLAMA);
  const models = [
    await checkpointOf("a", LLAMA, { change: 0.1, seed: 2 }),
    await checkpointOf("b", LLAMA, { change: 0.1, seed: 3 }),
  ];
  const { plan, settings } = await learner(gpu, { base, models, method: adamerging, tune: {} });
  const columns = new Columns(plan.tensors);
  const groups = groupsOf(plan.tensors, { ...VALUES, columns });
  const model = await Model.load(gpu, base, { dtype: "f32" });
  const weights = await MergedWeights.make(model, {
    ...{ groups, columns, offload },
    settings: { ...settings, ...(chunkValues ? { chunkValues } : {}) },
    valuesOf: (task) => valuesOf(adamerging, task),
  });
  return { base, models, groups, model, weights, columns };
}

test.each([
  [false, undefined],
  [true, undefined],
  [false, 64],
  [true, 64],
] as const)("weights follow the coefficients (offload %p, chunks of %p values)", async (offload, chunkValues) => {
  const { base, models, groups, model, weights, columns } = await merged(offload, chunkValues);
  expect(columns.count).toBe(2);
  const coefficients = Float64Array.from({ length: 2 * groups.length }, (_, i) => 0.1 * i - 0.7);
  await weights.refresh(coefficients.map(() => 3)); // what is held is used twice
  await weights.refresh(coefficients);
  const valuesIn = async ({ tensors }: typeof base, name: string) => {
    const { bytes, read } = tensors.get(name)!;
    const raw = new Uint8Array(bytes);
    await read(raw, 0);
    return new Float32Array(raw.buffer);
  };
  const sums = new Float64Array(coefficients.length);
  for (const [g, { name }] of groups.entries()) {
    const parameter = model.parameters.get(name)!;
    const found = await gpu.readFloats(parameter.buffer, parameter.size);
    const origin = await valuesIn(base, name);
    const tuned = await Promise.all(models.map((one) => valuesIn(one, name)));
    const gradient = normals(g, parameter.size);
    gpu.write(parameter.gradient, 0, new Uint8Array(gradient.buffer));
    for (const [i, value] of found.entries()) {
      let wanted = origin[i]!;
      for (const [k, one] of tuned.entries()) {
        wanted += coefficients[2 * g + k]! * (one[i]! - origin[i]!);
        sums[2 * g + k]! += gradient[i]! * (one[i]! - origin[i]!);
      }
      expect(Math.abs(value - wanted)).toBeLessThan(1e-6);
    }
  }
  for (const [i, sum] of (await weights.gradients()).entries()) expect(Math.abs(sum - sums[i]!)).toBeLessThan(2e-5);
  expect(weights.inputBytes > 0).toBe(!offload);
  await weights.free();
  model.free();
});
