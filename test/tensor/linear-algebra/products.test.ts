/**
 * Every kernel of wgsl/matmul against loops in f64, over forms, odd shapes, storage types, strides and what is added.
 */
import { describe, expect, test } from "bun:test";
import { encodeFloats } from "../../../src/checkpoint/decode.ts";
import type { AdapterProfile } from "../../../src/tensor/adapter-profile.ts";
import {
  type Form,
  type GroupedShape,
  type ProductShape,
  planGroupedProduct,
  planProduct,
} from "../../../src/tensor/linear-algebra/products.ts";
import { tuningOf } from "../../../src/tensor/linear-algebra/tuning.ts";
import { covers } from "../../support/covers.ts";
import { expectWithin, rounded } from "../../support/floats.ts";
import { sharedGpu } from "../../support/gpu.ts";

covers("matmul/tile", "matmul/vector");

const gpu = await sharedGpu();
const SUBGROUPS: AdapterProfile = { subgroupSize: gpu.adapter.subgroupSize, software: true };
const TILES: AdapterProfile = { subgroupSize: 0, software: false };
const canShuffle = gpu.adapter.subgroupSize === 4 || gpu.adapter.subgroupSize === 8;
/**
 * Tiles take a driver on the CPU long to compile, so they are tested in fewer variants: all kernels read and write
 * alike.
 */
const profiles: [string, AdapterProfile, boolean][] = [["tile", TILES, false]];
if (canShuffle) covers("matmul/subgroup");
if (canShuffle) profiles.push(["subgroup", SUBGROUPS, true]);

let state = 1;
/** Values between -1 and 1. */
const values = (count: number): Float32Array =>
  Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state >>> 8) / 2 ** 23 - 1;
  });

type Dtype = "f32" | "bf16";

interface Operand {
  readonly held: Float32Array;
  readonly stored: ArrayBufferView;
}

function operand(count: number, dtype: Dtype = "f32"): Operand {
  const held = values(count + (count % 2)); // pairs, where two share a word
  if (dtype === "f32") return { held, stored: held };
  return { held: rounded(held, "BF16"), stored: encodeFloats(held, "BF16") };
}

/** Sum over i of a[at + i step] b[...] in f64. */
function dot(
  a: Float32Array,
  at: number,
  stepA: number,
  b: Float32Array,
  from: number,
  stepB: number,
  k: number,
): number {
  let sum = 0;
  for (let i = 0; i < k; i++) sum += a[at + i * stepA]! * b[from + i * stepB]!;
  return sum;
}

/**
 * Of a sum of k products of values up to 1 whose signs are random: its size grows slower than k, and so do its
 * roundings.
 */
const tolerance = (k: number, scale = 1): number => 2 ** -23 * (4 + Math.max(1, Math.abs(scale)) * (4 + k));

/** Runs a planned product on random values and compares all of C, also what must stay as it was. */
async function check(shape: ProductShape, profile: AdapterProfile, accumulate = 0, tuning = tuningOf(profile)) {
  const { form, m, n, k, batch = 1, startA = 0, startB = 0, startC = 0, scale = 1 } = shape;
  const lda = shape.lda ?? (form === "tn" ? m : k);
  const ldb = shape.ldb ?? (form === "nt" ? k : n);
  const ldc = shape.ldc ?? n;
  const strideA = shape.strideA ?? lda * (form === "tn" ? k : m);
  const strideB = shape.strideB ?? ldb * (form === "nt" ? n : k);
  const strideC = shape.strideC ?? ldc * m;
  const a = operand(startA + (batch - 1) * strideA + lda * (form === "tn" ? k : m), shape.aDtype);
  const b = operand(startB + (batch - 1) * strideB + ldb * (form === "nt" ? n : k), shape.bDtype);
  const before = values(startC + (batch - 1) * strideC + ldc * m);
  const bias = values(n);
  const addend = values(before.length);
  const expected = Float64Array.from(before);
  for (let z = 0; z < batch; z++) {
    for (let i = 0; i < m; i++) {
      for (let j = 0; j < n; j++) {
        const at = startC + z * strideC + i * ldc + j;
        const fromA = startA + z * strideA + (form === "tn" ? i : i * lda);
        const fromB = startB + z * strideB + (form === "nt" ? j * ldb : j);
        const sum = dot(a.held, fromA, form === "tn" ? lda : 1, b.held, fromB, form === "nt" ? 1 : ldb, k);
        expected[at] =
          scale * sum + (shape.bias ? bias[j]! : 0) + (shape.add ? addend[at]! : 0) + (accumulate ? before[at]! : 0);
      }
    }
  }
  const step = planProduct(shape, profile, tuning);
  const kernel = await gpu.kernel(step.kernel, { flags: step.flags, constants: step.constants });
  using bufferA = gpu.upload(a.stored, "a");
  using bufferB = gpu.upload(b.stored, "b");
  using c = gpu.upload(before, "c");
  using bufferBias = gpu.upload(bias, "bias");
  using bufferAddend = gpu.upload(addend, "addend");
  gpu.run(kernel, {
    bind: {
      a: bufferA.buffer,
      b: bufferB.buffer,
      c: c.buffer,
      ...(shape.bias ? { bias: bufferBias.buffer } : {}),
      ...(shape.add ? { addend: bufferAddend.buffer } : {}),
    },
    params: { ...step.params, accumulate },
    groups: step.groups,
  });
  const found = await gpu.readFloats(c.buffer, before.length);
  const what = `${step.kernel}+${step.flags.join("+")} ${m} ${n} ${k}`;
  expectWithin(found, expected, () => tolerance(k, scale), what);
}

const FORMS: readonly Form[] = ["nn", "nt", "tn"];

describe.each(profiles)("%s", (_, profile, thorough) => {
  for (const form of FORMS) {
    test(`${form}: multiples of four, one by one, and around the tiles`, async () => {
      for (const [m, n, k] of [
        [64, 64, 32],
        [36, 100, 8],
        [132, 68, 36],
        [1, 1, 1],
        [9, 3, 255],
        [33, 31, 17],
        [129, 65, 3],
        [17, 257, 65],
      ] as const) {
        await check({ form, m, n, k }, profile);
      }
      if (!thorough) return;
      for (const [m, n, k] of [
        [36, 257, 64],
        [64, 36, 1],
        [257, 32, 4],
        [40, 32, 255],
      ] as const) {
        await check({ form, m, n, k }, profile);
      }
    });

    test(`${form}: bf16, bias, addend, scale and what was there`, async () => {
      const all = { bias: true, add: true, scale: -0.5 };
      await check({ form, m: 35, n: 37, k: 13, aDtype: "bf16", bDtype: "bf16", ...all }, profile, 1);
      if (!thorough) return;
      await check({ form, m: 44, n: 40, k: 12, bDtype: "bf16", ...all }, profile, 1);
      await check({ form, m: 40, n: 36, k: 20, aDtype: "bf16", bDtype: "bf16" }, profile);
    });

    test(`${form}: batches of parts of larger matrices leave the rest alone`, async () => {
      const strides = { lda: 52, ldb: 56, ldc: 60, startA: 4, startB: 8, startC: 12 };
      const between = { strideA: 2800, strideB: 2804, strideC: 2808 };
      await check({ form, m: 44, n: 40, k: 40, batch: 3, ...strides, ...between }, profile);
      await check({ form, m: 41, n: 39, k: 43, batch: 2, ...strides, ...between, startA: 3, ldc: 61 }, profile, 1);
      await check({ form, m: 20, n: 20, k: 20, batch: 3, strideB: 0 }, profile);
    });
  }

  test("few rows", async () => {
    for (const form of ["nn", "nt"] as const) {
      for (const m of thorough ? [1, 7] : [2]) {
        await check({ form, m, n: 35, k: 67, bDtype: "bf16", bias: true, add: true, scale: 3 }, profile, 1);
      }
      if (thorough) await check({ form, m: 3, n: 68, k: 132, batch: 2 }, profile);
    }
  });
});

test.if(gpu.adapter.subgroupSize === 8)("half of a subgroup", async () => {
  const narrow: AdapterProfile = { subgroupSize: 4, software: true };
  await check({ form: "nt", m: 35, n: 37, k: 13 }, narrow);
  await check({ form: "tn", m: 36, n: 20, k: 13 }, narrow);
});

test("large tiles", async () => {
  const tuning = { ...tuningOf(TILES), largeFrom: 1 };
  await check({ form: "tn", m: 132, n: 260, k: 48 }, TILES, 1, tuning);
});

describe.each(profiles)("%s, grouped by expert", (_, profile, thorough) => {
  async function checkGrouped(shape: GroupedShape, counts: readonly number[], accumulate = 0): Promise<void> {
    const { form, n, rows, experts } = shape;
    const offsets = new Uint32Array(experts + 1);
    for (const [e, count] of counts.entries()) offsets[e + 1] = offsets[e]! + count;
    const { m, k } = shape;
    const a = operand(rows * (form === "tn" ? m : k));
    const b = operand(form === "tn" ? rows * n : experts * n * k, shape.bDtype);
    const before = values(form === "tn" ? experts * m * n : rows * n);
    const expected = Float64Array.from(before);
    for (let e = 0; e < experts; e++) {
      const [first, end] = [offsets[e]!, offsets[e + 1]!];
      for (let i = form === "tn" ? 0 : first; i < (form === "tn" ? m : end); i++) {
        for (let j = 0; j < n; j++) {
          const at = (form === "tn" ? e * m + i : i) * n + j;
          const sum =
            form === "tn"
              ? dot(a.held, first * m + i, m, b.held, first * n + j, n, end - first)
              : form === "nt"
                ? dot(a.held, i * k, 1, b.held, (e * n + j) * k, 1, k)
                : dot(a.held, i * k, 1, b.held, e * n * k + j, n, k);
          expected[at] = sum + (accumulate ? before[at]! : 0);
        }
      }
    }
    const step = planGroupedProduct(shape, profile);
    const kernel = await gpu.kernel(step.kernel, { flags: step.flags, constants: step.constants });
    using bufferA = gpu.upload(a.stored, "a");
    using bufferB = gpu.upload(b.stored, "b");
    const all = Uint32Array.of(...Array(shape.firstExpert ?? 0).fill(999), ...offsets);
    using bufferOffsets = gpu.upload(all, "offsets");
    using c = gpu.upload(before, "c");
    const bind = { a: bufferA.buffer, b: bufferB.buffer, c: c.buffer, offsets: bufferOffsets.buffer };
    gpu.run(kernel, { bind, params: { ...step.params, accumulate }, groups: step.groups });
    const found = await gpu.readFloats(c.buffer, before.length);
    expectWithin(found, expected, () => tolerance(form === "tn" ? rows : k), step.flags.join("+"));
  }

  for (const form of FORMS) {
    test(`${form}: experts of no, one and many rows, fewer rows than there is room for`, async () => {
      const sizes = [[33, 35, 21], ...(thorough ? [[36, 40, 44]] : [])] as [number, number, number][];
      for (const [m, n, k] of sizes) {
        const shape = { form, m, n, k, experts: 5, rows: 150 };
        await checkGrouped(shape, [0, 1, 70, 0, 65]);
        await checkGrouped(shape, [0, 0, 0, 0, 150], 1);
        await checkGrouped(shape, [0, 0, 0, 0, 0]);
        await checkGrouped({ ...shape, firstExpert: 3 }, [2, 0, 70, 0, 65]);
      }
    });
  }
});

test("sizes below one are refused", () => {
  expect(() => planProduct({ form: "nn", m: 0, n: 1, k: 1 }, TILES)).toThrow(
    "m of a product must be at least 1, not 0",
  );
});
