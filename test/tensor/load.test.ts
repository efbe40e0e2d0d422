/** Ranges of tensors of every float type on their way to the GPU, plain and with an adapter's change. */
import { beforeAll, describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { LowRankPatch } from "../../src/checkpoint/checkpoint.ts";
import { decodeFloats } from "../../src/checkpoint/decode.ts";
import { DTYPE_BYTES, type Dtype } from "../../src/checkpoint/dtype.ts";
import { Gpu } from "../../src/gpu/gpu.ts";
import { loadRange, loadStack, type OperandDtype, paddedBytes } from "../../src/tensor/load.ts";
import { entryOf } from "../support/entry.ts";
import { EPSILON, expectWithin, OPERANDS, rounded, SIZES, TINIEST } from "../support/floats.ts";
import { sharedGpu, sharedOpenGpu } from "../support/gpu.ts";
import { normals } from "../support/random.ts";

const FLOATS: readonly Dtype[] = ["F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2"];

let gpu: Gpu;
beforeAll(async () => {
  gpu = await sharedGpu();
});

/** Loads behind 256 bytes that must stay, and checks them and the padding. */
async function loaded(entry: ReturnType<typeof entryOf>, start: number, length: number, dtype: OperandDtype) {
  const bytes = paddedBytes(length, dtype);
  using target = gpu.upload(new Uint8Array(256 + bytes).fill(0x3c), "target");
  await loadRange(gpu, entry, start, length, dtype, target.buffer, 256);
  const padded = Math.ceil(length / 4) * 4;
  return gpu.read(target.buffer, 0, 256 + padded * DTYPE_BYTES[dtype], (view) => {
    expect(view.subarray(0, 256).every((byte) => byte === 0x3c)).toBe(true);
    const values = decodeFloats(view.slice(256), dtype);
    expect([...values.subarray(length)]).toEqual(new Array(padded - length).fill(0));
    return values.slice(0, length);
  });
}

describe("plain tensors", () => {
  test.each(FLOATS.flatMap((from) => OPERANDS.map((to) => [from, to] as const)))("%s as %s", async (from, to) => {
    for (const size of SIZES) {
      const values = normals(size, size, 2);
      const expected = rounded(rounded(values, from), to);
      expectWithin(await loaded(entryOf("w", from, [size], values), 0, size, to), expected, () => 0);
    }
  });

  test("of more than the small uploads hold, through mapped memory", async () => {
    const size = 1_000_003;
    const values = normals(1, size);
    for (const from of ["F32", "BF16", "F8_E4M3"] as const) {
      expectWithin(await loaded(entryOf("w", from, [size], values), 0, size, "F32"), rounded(values, from), () => 0);
    }
  });

  test("any range, whatever its alignment", async () => {
    const size = 5_003;
    const values = normals(2, size);
    const cases = fc.record({
      from: fc.constantFrom(...FLOATS),
      to: fc.constantFrom(...OPERANDS),
      start: fc.nat({ max: size - 1 }),
      length: fc.integer({ min: 1, max: size }),
    });
    await fc.assert(
      fc.asyncProperty(cases, async ({ from, to, start, length }) => {
        const end = Math.min(size, start + length);
        const expected = rounded(rounded(values, from), to).slice(start, end);
        expectWithin(await loaded(entryOf("w", from, [size], values), start, end - start, to), expected, () => 0);
      }),
      { numRuns: 60, seed: 1 },
    );
  });

  test("that hold no real numbers are refused by name", async () => {
    const entry = { ...entryOf("ids", "F32", [4], new Float32Array(4)), dtype: "I64" as const };
    await expect(loaded(entry, 0, 4, "F32")).rejects.toThrow("ids: I64 holds no real numbers to compute with");
  });

  test("whose file fails report it, and leave the rings usable", async () => {
    const values = normals(3, 100_000);
    const entry = entryOf("w", "F32", [values.length], values);
    const broken = { ...entry, read: () => Promise.reject(new Error("disk on fire")) };
    for (let i = 0; i < 40; i++) {
      await expect(loaded(broken, 0, values.length, "F32")).rejects.toThrow("disk on fire");
    }
    expectWithin(await loaded(entry, 0, values.length, "F32"), values, () => 0);
  });
});

describe("with an adapter", () => {
  interface Case {
    readonly shape: readonly number[];
    readonly rank: number;
    readonly transposed?: boolean;
    readonly dora?: boolean;
  }

  function patched(dtype: Dtype, { shape, rank, transposed = false, dora = false }: Case) {
    const rows = shape[0]!;
    const columns = shape.slice(1).reduce((a, b) => a * b, 1);
    const [outputs, inputs] = transposed ? [columns, rows] : [rows, columns];
    const patch: LowRankPatch = {
      a: normals(11, rank * inputs, 0.3),
      b: normals(12, outputs * rank, 0.3),
      rank,
      scale: 1.75,
      transposed,
      ...(dora ? { magnitude: normals(13, outputs, 0.5, 3) } : {}),
    };
    return entryOf("w", dtype, shape, normals(10, rows * columns), patch);
  }

  /** Compares a range with the CPU's merge in f64: at most one unit in the last place of the weight's type away. */
  async function check(dtype: OperandDtype, shape: Case, start: number, length: number, to: OperandDtype = "F32") {
    const { mergeOnCpu } = await import("../../src/checkpoint/adapter/adapter.ts");
    const entry = patched(dtype, shape);
    const whole = await mergeOnCpu(entry);
    const expected = rounded(whole.slice(start, start + length), to);
    const found = await loaded(entry, start, length, to);
    const unit = 2 * Math.max(EPSILON[dtype], EPSILON[to]);
    // Terms of the product cancel: their f32 error is that of numbers of size rank, not of the result.
    const product = (shape.rank + 40) * 2 * EPSILON.F32 * 4;
    const least = 2 * Math.max(TINIEST[dtype], TINIEST[to]);
    expectWithin(found, expected, (i) => unit * Math.abs(expected[i]!) + product + least);
    if (dtype !== "F32") {
      // The error of f32 moves a value over a rounding boundary now and then, never often.
      const same = found.reduce((count, value, i) => count + Number(value === expected[i]), 0);
      expect(same).toBeGreaterThanOrEqual(0.99 * length - 2);
    }
  }

  const CASES: Case[] = [
    { shape: [1, 1], rank: 1 },
    { shape: [3, 5], rank: 2 },
    { shape: [5, 257], rank: 8 },
    { shape: [255, 17], rank: 4 },
    { shape: [67, 4097], rank: 16 },
    { shape: [24, 3, 5, 5], rank: 4 }, // a convolution
  ];

  const rowsOf = ({ shape: [rows = 1, ...rest] }: Case): [number, number][] => {
    const columns = rest.reduce((a, b) => a * b, 1);
    const middle = Math.floor(rows / 2);
    return [
      [0, rows * columns],
      [middle * columns, columns],
      [middle * columns, (rows - middle) * columns],
    ];
  };

  test.each([...OPERANDS])("LoRA on %s", async (dtype) => {
    for (const shape of CASES) for (const [start, length] of rowsOf(shape)) await check(dtype, shape, start, length);
  });

  test.each([...OPERANDS])("DoRA on %s", async (dtype) => {
    for (const shape of CASES) {
      for (const [start, length] of rowsOf(shape)) await check(dtype, { ...shape, dora: true }, start, length);
    }
  });

  test.each([false, true])("on transposed weights, as GPT-2 stores them (DoRA: %p)", async (dora) => {
    for (const shape of CASES.slice(0, 5)) {
      for (const [start, length] of rowsOf(shape)) {
        await check("F32", { ...shape, dora, transposed: true }, start, length);
        await check("BF16", { ...shape, dora, transposed: true }, start, length);
      }
    }
  });

  test("on ranges that begin and end within a row", async () => {
    for (const dora of [false, true]) {
      for (const transposed of [false, true]) {
        const shape = { shape: [23, 37], rank: 3, dora, transposed };
        for (const [start, length] of [
          [1, 1],
          [36, 2],
          [5, 400],
          [40, 23 * 37 - 40],
        ] as const) {
          await check("F32", shape, start, length);
        }
      }
    }
    await check("F16", { shape: [24, 3, 5, 5], rank: 4 }, 7 * 5, 11 * 5);
  });

  test("to another type, rounded to the weight's type first", async () => {
    for (const dora of [false, true]) {
      await check("BF16", { shape: [13, 41], rank: 4, dora }, 41, 41 * 7, "F16");
      await check("F16", { shape: [13, 41], rank: 4, dora }, 41, 41 * 7, "BF16");
      await check("BF16", { shape: [13, 41], rank: 4, dora }, 0, 41 * 13, "BF16");
    }
    const found = await loaded(patched("BF16", { shape: [13, 41], rank: 4 }), 0, 13 * 41, "F32");
    expectWithin(found, rounded(found, "BF16"), () => 0);
  });

  test("DoRA leaves a row of zeros zero, on the GPU as on the CPU", async () => {
    const values = normals(1, 12);
    values.fill(0, 4, 8);
    const patch = { a: new Float32Array(4), b: new Float32Array(3), rank: 1, scale: 1, transposed: false };
    const entry = entryOf("w", "F32", [3, 4], values, { ...patch, magnitude: new Float32Array([1, 2, 3]) });
    const { mergeOnCpu } = await import("../../src/checkpoint/adapter/adapter.ts");
    const found = await loaded(entry, 0, 12, "F32");
    expect([...found.slice(4, 8)]).toEqual([0, 0, 0, 0]);
    expectWithin(found, await mergeOnCpu(entry), () => 1e-6);
  });
});

describe("stacks", () => {
  test("are the same where the host shares the device's memory and where it does not", async () => {
    const { device } = await sharedOpenGpu();
    const apart = new Gpu({ ...device, adapter: { ...device.adapter, type: "discrete" } }, false);
    expect(apart.shared).toBeUndefined();
    for (const [start, length] of [
      [0, 70_003],
      [5, 200_001],
      [77, 3],
    ] as const)
      for (const dtype of OPERANDS) {
        const kinds = [dtype, "F32", dtype, "F8_E4M3"] as const;
        const entries = kinds.map((kind, i) => entryOf(`w${i}`, kind, [200_100], normals(i + 1, 200_100)));
        const bytes = 4 * paddedBytes(length, dtype);
        const part = (view: Uint8Array, slot: number) => {
          const at = slot * paddedBytes(length, dtype);
          return view.slice(at, at + 4 * Math.ceil(length / 4) * DTYPE_BYTES[dtype]);
        };
        const [shared, plain] = await Promise.all(
          [gpu, apart].map(async (on) => {
            using stack = await loadStack(on, entries, { start, length }, dtype, "stack");
            return on.read(stack.buffer, 0, bytes, (view) => kinds.map((_, slot) => part(view, slot)));
          }),
        );
        expect(shared).toEqual(plain!);
      }
    apart.pool.destroy();
    apart.uploads.destroy();
    apart.readbacks.destroy();
  });

  test("a file that cannot be read fails once the others are read", async () => {
    const good = entryOf("good", "F32", [50_000], normals(1, 50_000));
    let ended = false;
    const slow = {
      ...good,
      read: async (into: Uint8Array, from: number) => {
        await Bun.sleep(20);
        await good.read(into, from);
        ended = true;
      },
    };
    const bad = { ...good, read: () => Promise.reject(new Error("the disk is gone")) };
    const stack = loadStack(gpu, [bad, slow], { start: 0, length: 50_000 }, "F32", "stack");
    await expect(stack).rejects.toThrow("the disk is gone");
    expect(ended).toBe(true);
  });
});
