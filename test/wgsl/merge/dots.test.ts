import { beforeAll, expect, test } from "bun:test";
import type { Gpu } from "../../../src/gpu/gpu.ts";
import { LANES, REDUCE_SPAN } from "../../../src/gpu/grid.ts";
import { inFlag, type OperandDtype } from "../../../src/tensor/load.ts";
import { covers } from "../../support/covers.ts";
import { EPSILON, OPERANDS, rounded, SIZES } from "../../support/floats.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { withJob } from "../../support/job.ts";
import { normals } from "../../support/random.ts";
import { runSpans, stackOf } from "../../support/stack.ts";

covers("merge/dots");

let gpu: Gpu;
beforeAll(async () => {
  gpu = await sharedGpu();
});

/**
 * A lane adds 64 products one after the other in each of four components, then those, and each product is that of two
 * differences, which are rounded too: fewer than 72 roundings. The host adds the lanes in f64.
 */
const STEPS = 72 * EPSILON.F32;

const dot = (a: Float32Array, b: Float32Array): [number, number] => {
  let sum = 0;
  let size = 0;
  for (let i = 0; i < a.length; i++) {
    sum += a[i]! * b[i]!;
    size += Math.abs(a[i]! * b[i]!);
  }
  return [sum, size];
};

const minus = (a: Float32Array, b: Float32Array): Float32Array => a.map((x, i) => x - b[i]!);

async function partials(tensors: readonly Float32Array[], dtype: OperandDtype, delta: boolean) {
  using stack = stackOf(gpu, dtype, tensors);
  const spans = Math.ceil(stack.n4 / REDUCE_SPAN);
  using result = await runSpans(gpu, "merge/dots", [...inFlag(dtype), ...(delta ? ["delta"] : [])], stack.n4, {
    bind: { stack: stack.buffer },
    params: { n4: stack.n4, pitch: stack.pitch, a: 2, b: 1, origin: 0 },
    output: "partials",
    bytes: 16 * spans * LANES,
    span: REDUCE_SPAN,
  });
  return gpu.readFloats(result.buffer, 4 * spans * LANES);
}

test.each(SIZES.map((size) => [size]))("of %d values, span by span, for every type", async (size) => {
  for (const dtype of OPERANDS) {
    for (const delta of [false, true]) {
      const tensors = [0, 1, 2].map((seed) => rounded(normals(seed + size, size, 1, 0.3), dtype));
      const found = await partials(tensors, dtype, delta);
      const [a, b] = [tensors[2]!, tensors[1]!].map((x) => (delta ? minus(x, tensors[0]!) : x)) as [
        Float32Array,
        Float32Array,
      ];
      for (let span = 0; span * 4 * REDUCE_SPAN < size; span++) {
        const [from, to] = [4 * REDUCE_SPAN * span, 4 * REDUCE_SPAN * (span + 1)];
        const [x, y] = [a.slice(from, to), b.slice(from, to)];
        const lanes = found.slice(4 * LANES * span, 4 * LANES * (span + 1));
        for (const [c, [sum, abs]] of [dot(x, x), dot(x, y), dot(y, y), [0, 0] as const].entries()) {
          const total = lanes.reduce((all, value, i) => all + (i % 4 === c ? value : 0), 0);
          expect(Math.abs(total - sum)).toBeLessThanOrEqual(STEPS * abs);
        }
      }
    }
  }
});

test("have the same bits every time", async () => {
  const tensors = [0, 1, 2].map((seed) => normals(seed, 65_537));
  const first = await partials(tensors, "F32", true);
  for (let i = 0; i < 5; i++) expect(await partials(tensors, "F32", true)).toEqual(first);
});

test.each([
  ["one model", 1],
  ["two models", 2],
  ["four models", 4],
])("gram of %s, in one chunk and in many", async (_, count) => {
  const n = 9_001;
  const base = rounded(normals(50, n), "BF16");
  const models = Array.from({ length: count }, (_, k) => rounded(normals(60 + k, n), "BF16"));
  for (const options of [{}, { delta: true }, { withBase: true }]) {
    const vectors = options.delta ? models.map((model) => minus(model, base)) : models;
    const all = options.withBase ? [base, ...models] : vectors;
    for (const [passes, chunkValues] of [
      ["many", 1 << 20],
      ["many", 1_001],
      ["one", 1_001],
    ] as const) {
      const inputs = { base, models, dtype: "BF16", shape: [n, 1], passes, settings: { chunkValues } } as const;
      const { found } = await withJob(gpu, inputs, (job) => job.gram(options));
      expect(found.length).toBe(all.length);
      for (const [i, a] of all.entries()) {
        for (const [j, b] of all.entries()) {
          const [sum, size] = dot(a, b);
          expect(Math.abs(found[i]![j]! - sum)).toBeLessThanOrEqual(STEPS * size);
        }
      }
      const again = await withJob(gpu, inputs, (job) => job.gram(options));
      expect(again.found).toEqual(found);
    }
  }
});

test("gram without a base", async () => {
  const models = [normals(1, 257), normals(2, 257)];
  const { found } = await withJob(gpu, { models }, (job) => job.gram());
  for (const [i, a] of models.entries()) {
    for (const [j, b] of models.entries()) {
      expect(Math.abs(found[i]![j]! - dot(a, b)[0])).toBeLessThanOrEqual(STEPS * dot(a, b)[1]);
    }
  }
});
