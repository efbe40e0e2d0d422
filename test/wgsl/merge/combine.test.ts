import { beforeAll, describe, expect, test } from "bun:test";
import { DTYPE_BYTES } from "../../../src/checkpoint/dtype.ts";
import type { Gpu } from "../../../src/gpu/gpu.ts";
import { inFlag, type OperandDtype, outFlag } from "../../../src/tensor/load.ts";
import { covers } from "../../support/covers.ts";
import { EPSILON, expectWithin, OPERANDS, rounded, roundOne, SIZES, TINIEST } from "../../support/floats.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { withJob } from "../../support/job.ts";
import { normals } from "../../support/random.ts";
import { readAs, runSpans, stackOf } from "../../support/stack.ts";

covers("merge/combine");

let gpu: Gpu;
beforeAll(async () => {
  gpu = await sharedGpu();
});

interface Run {
  readonly from: OperandDtype;
  readonly to: OperandDtype;
  readonly weights: readonly number[];
  /** Of `stepwise`. */
  readonly divisor?: number;
  readonly flags?: readonly string[];
}

async function combined(tensors: readonly Float32Array[], { from, to, weights, divisor = 1, flags = [] }: Run) {
  const length = tensors[0]!.length;
  using stack = stackOf(gpu, from, tensors);
  using held = gpu.upload(new Float32Array(weights), "weights");
  using result = await runSpans(gpu, "merge/combine", [...inFlag(from), ...flags, ...outFlag(to)], stack.n4, {
    bind: { stack: stack.buffer, weights: held.buffer },
    params: { n4: stack.n4, pitch: stack.pitch, divisor },
    constants: { K: tensors.length },
    output: "result",
    bytes: 4 * stack.n4 * DTYPE_BYTES[to],
  });
  return readAs(gpu, result.buffer, to, length);
}

/** f64 sums, and the sizes of their terms. */
function reference(tensors: readonly Float32Array[], weights: readonly number[], divisor: number) {
  const sums = new Float64Array(tensors[0]!.length);
  const sizes = new Float64Array(sums.length);
  for (const [k, tensor] of tensors.entries()) {
    const weight = Math.fround(weights[k]!);
    for (let i = 0; i < sums.length; i++) {
      sums[i]! += weight * tensor[i]!;
      sizes[i]! += Math.abs(weight * tensor[i]!);
    }
  }
  const quotient = Math.fround(divisor);
  return { expected: sums.map((sum) => sum / quotient), sizes: sizes.map((size) => size / Math.abs(quotient)) };
}

async function check(tensors: readonly Float32Array[], run: Run) {
  const { expected, sizes } = reference(tensors, run.weights, run.divisor ?? 1);
  // One f32 rounding for each product and sum, a division within 2.5 units, and the rounding to the output's type.
  const steps = (2 * tensors.length + 5) * EPSILON.F32;
  const tolerance = (i: number) =>
    steps * sizes[i]! + EPSILON[run.to] * (Math.abs(expected[i]!) + sizes[i]! * steps) + TINIEST[run.to];
  expectWithin(await combined(tensors, run), expected, tolerance);
}

const stackFor = (from: OperandDtype, count: number, size: number) =>
  Array.from({ length: count }, (_, k) => rounded(normals(100 * k + size, size), from));

test.each(SIZES.map((size) => [size]))("sums of %d values, from and to every type", async (size) => {
  for (const from of OPERANDS) {
    for (const to of OPERANDS) await check(stackFor(from, 3, size), { from, to, weights: [0.5, -1.25, 2 / 3] });
  }
});

test.each([1, 2, 7, 33])("sums of %d tensors, with a divisor", async (count) => {
  const weights = normals(count, count);
  for (const divisor of [0.3, -7]) {
    const run = { from: "F32", to: "F32", weights: [...weights], divisor, flags: ["stepwise"] } as const;
    await check(stackFor("F32", count, 4_097), run);
  }
});

test.each(SIZES.map((size) => [size]))("sums of %d differences from the first tensor", async (size) => {
  for (const [from, to] of [
    ["F32", "F32"],
    ["BF16", "BF16"],
    ["F16", "F32"],
  ] as const) {
    const base = rounded(normals(size, size), from);
    const models = [1, 2, 3].map((seed) => {
      const noise = normals(size + seed, size, 0.01);
      return rounded(
        base.map((x, i) => x + noise[i]!),
        from,
      );
    });
    const weights = [30, -20, 50]; // large: a plain sum would lose digits to cancellation
    const found = await combined([base, ...models], { from, to, weights: [9, ...weights], flags: ["delta"] });
    const expected = Float64Array.from(base);
    const sizes = new Float64Array(size);
    for (const [k, model] of models.entries()) {
      for (let i = 0; i < size; i++) {
        const term = weights[k]! * (model[i]! - base[i]!);
        expected[i]! += term;
        sizes[i]! += Math.abs(term);
      }
    }
    const tolerance = (i: number) =>
      12 * EPSILON.F32 * (sizes[i]! + Math.abs(expected[i]!)) +
      1.01 * EPSILON[to] * Math.abs(expected[i]!) +
      TINIEST[to];
    expectWithin(found, expected, tolerance);
  }
});

test("infinities and NaN of the inputs arrive", async () => {
  const values = new Float32Array([Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN, 1, 65_504]);
  for (const type of OPERANDS) {
    const found = await combined([values, new Float32Array(5)], { from: type, to: type, weights: [2, 1] });
    expect([...found.slice(0, 4)]).toEqual([Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN, 2]);
  }
});

describe("in compatibility rounding", () => {
  test.each(["BF16", "F16"] as const)("every step of %s is rounded", async (type) => {
    const tensors = stackFor(type, 3, 4_097);
    const weights = [0.3, -0.45, 1.15].map((weight) => roundOne(weight, type));
    const divisor = roundOne(1.1, type);
    const products = tensors.map((tensor, k) =>
      rounded(
        tensor.map((x) => weights[k]! * x),
        type,
      ),
    );
    const sums = rounded(
      products[0]!.map((x, i) => Math.fround(Math.fround(x + products[1]![i]!) + products[2]![i]!)),
      type,
    );
    const expected = rounded(
      sums.map((x) => x / divisor),
      type,
    );
    const flags = [`round_${type.toLowerCase()}`, "stepwise"];
    const found = await combined(tensors, { from: type, to: type, weights, divisor, flags });
    // An adapter's division may be 2.5 units of f32 off, which crosses a rounding boundary once in thousands.
    expectWithin(found, expected, (i) => 2 * EPSILON[type] * Math.abs(expected[i]!) + TINIEST[type]);
    const same = found.reduce((count, x, i) => count + Number(x === expected[i]), 0);
    expect(same).toBeGreaterThan(0.995 * found.length);
  });
});

test("a job of several chunks writes what a job of one does, base and divisor included", async () => {
  const n = 5_003;
  const [base, ...models] = stackFor("BF16", 4, n) as [Float32Array, ...Float32Array[]];
  const inputs = { base, models, dtype: "BF16", outDtype: "BF16", shape: [n, 1] } as const;
  const weights = [0.2, 0.5, -0.1];
  const run = (chunkValues: number) =>
    withJob(gpu, { ...inputs, settings: { chunkValues } }, (job) => job.combine(weights, { base: 0.4, divisor: 2 }));
  const { written } = await run(1 << 20);
  const { expected, sizes } = reference([base, ...models], [0.4, ...weights], 2);
  expectWithin(written, expected, (i) => EPSILON.BF16 * Math.abs(expected[i]!) + 16 * EPSILON.F32 * sizes[i]!);
  for (const chunkValues of [101, 777, 4_096]) {
    expectWithin((await run(chunkValues)).written, written, () => 0);
  }
});
