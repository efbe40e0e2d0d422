/** Statistics against sums in double precision, over sizes, types, chunks, and every kind of number. */
import { describe, expect, test } from "bun:test";
import { mergeOnCpu } from "../../src/checkpoint/adapter/adapter.ts";
import type { TensorEntry } from "../../src/checkpoint/checkpoint.ts";
import { decodeFloats } from "../../src/checkpoint/decode.ts";
import type { Dtype } from "../../src/checkpoint/dtype.ts";
import { inFlight } from "../../src/inspect/in-flight-reads.ts";
import { type Statistics, statisticsOf, statisticsTasks, type Tally } from "../../src/inspect/statistics.ts";
import { covers } from "../support/covers.ts";
import { entryOf } from "../support/entry.ts";
import { rounded } from "../support/floats.ts";
import { sharedGpu } from "../support/gpu.ts";
import { normals, randomPatterns } from "../support/random.ts";

covers("inspect/statistics");

const SIZES = [1, 3, 255, 257, 4097, 65537];
const DTYPES: readonly Dtype[] = ["F32", "F16", "BF16", "F8_E4M3", "F8_E5M2"];

async function tally(entry: TensorEntry, chunkValues?: number): Promise<Tally> {
  let found: Tally | undefined;
  const tasks = await statisticsTasks(
    sharedGpu,
    entry,
    (value) => {
      found = value;
    },
    chunkValues,
  );
  await inFlight(tasks, false);
  return found!;
}

const statistics = async (entry: TensorEntry, chunkValues?: number): Promise<Statistics> =>
  statisticsOf(await tally(entry, chunkValues));

/** The same, in double precision over the values as they are stored. */
function reference(values: ArrayLike<number>) {
  let [sum, squares, absolute, absMax, nan, inf, zeros] = [0, 0, 0, 0, 0, 0, 0];
  for (const value of Array.from(values)) {
    if (Number.isNaN(value)) nan++;
    else if (!Number.isFinite(value)) inf++;
    else {
      sum += value;
      squares += value * value;
      absolute += Math.abs(value);
      absMax = Math.max(absMax, Math.abs(value));
      if (value === 0) zeros++;
    }
  }
  const finite = values.length - nan - inf;
  return { mean: sum / finite, rms: Math.sqrt(squares / finite), absolute: absolute / finite, absMax, nan, inf, zeros };
}

/** f32 sums of a span of 4096 values err by some 24 roundings; adapters may take subnormal numbers for zero. */
function expectLike(found: Statistics, values: ArrayLike<number>): void {
  const wanted = reference(values);
  const counts = { nan: found.nan, inf: found.inf, zeros: found.zeros, absMax: found.abs_max };
  const { nan, inf, zeros, absMax } = wanted;
  expect(counts).toEqual({ nan, inf, zeros, absMax: nan + inf === values.length ? null : absMax } as typeof counts);
  expect(found.zero_share).toBe(zeros / values.length);
  if (nan + inf === values.length) {
    expect(found.mean).toBeNull();
    expect(found.rms).toBeNull();
    return;
  }
  expect(Math.abs(found.mean! - wanted.mean)).toBeLessThanOrEqual(24 * 2 ** -24 * wanted.absolute + 2 ** -126);
  expect(Math.abs(found.rms! - wanted.rms)).toBeLessThanOrEqual(24 * 2 ** -24 * wanted.rms + 2 ** -126);
}

/** Normal values with every kind of number among them; what a type cannot hold becomes what it rounds to. */
function mixed(seed: number, size: number): Float32Array {
  const values = normals(seed, size);
  const odd = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -0, 0, 1e-40, -2e-7, 3e-39, 2 ** -149];
  for (let i = 0; i < size; i += 7) values[(i * 5 + 2) % size] = odd[(i / 7) % odd.length]!;
  return values;
}

describe.each([...DTYPES])("%s", (dtype) => {
  test.each(SIZES)("%d values with NaN, infinities, -0 and subnormals", async (size) => {
    const values = mixed(size, size);
    const entry = entryOf("w", dtype, [size], values);
    const found = await statistics(entry);
    expectLike(found, rounded(values, dtype));
    const chunked = await statistics(entry, 1003); // no multiple of four: every chunk is padded
    expectLike(chunked, rounded(values, dtype));
  });

  test("any pattern of bits", async () => {
    const bytes = new Uint8Array(randomPatterns(5, 3001).buffer);
    const values = decodeFloats(bytes, dtype);
    const entry: TensorEntry = {
      name: "w",
      dtype,
      shape: [values.length],
      bytes: bytes.length,
      read: async (into, offset) => into.set(bytes.subarray(offset, offset + into.length)),
    };
    const found = await statistics(entry, 5000);
    const { nan, inf, zeros, absMax } = reference(values);
    expect([found.nan, found.inf, found.zeros, found.abs_max]).toEqual([nan, inf, zeros, absMax]);
  });
});

describe("range", () => {
  test.each([1e-44, 1e-30, 1e-20, 1e19, 1e30, 3.4e38])("values near %d neither vanish nor overflow", async (size) => {
    const values = normals(1, 5000).map((value) => Math.fround(Math.max(-1, Math.min(1, value / 4)) * size));
    expectLike(await statistics(entryOf("w", "F32", [5000], values)), values);
  });

  test("a tensor of NaN alone has no mean", async () => {
    const found = await statistics(entryOf("w", "F16", [5], new Float32Array(5).fill(Number.NaN)));
    expect(found).toEqual({ mean: null, rms: null, abs_max: null, nan: 5, inf: 0, zeros: 0, zero_share: 0 });
  });

  test("an empty tensor has nothing", async () => {
    const found = await statistics(entryOf("w", "F32", [0, 4], new Float32Array()));
    expect([found.mean, found.zeros, found.zero_share]).toEqual([null, 0, 0]);
  });
});

test("the same bits every time, with many chunks in flight", async () => {
  const entry = entryOf("w", "BF16", [65537], normals(9, 65537));
  const first = await tally(entry, 4096);
  for (let i = 0; i < 3; i++) expect(await tally(entry, 4096)).toEqual(first);
});

test("an adapter's change is counted, in whole rows", async () => {
  const [rows, columns, rank] = [37, 21, 3];
  const patch = {
    a: normals(1, rank * columns),
    b: normals(2, rows * rank),
    rank,
    scale: 0.5,
    transposed: false,
  };
  const entry = entryOf("w", "F32", [rows, columns], normals(3, rows * columns), patch);
  expectLike(await statistics(entry, 100), await mergeOnCpu(entry));
});

describe("on the host", () => {
  const held = (dtype: Dtype, data: ArrayBufferView, shape: number[]): TensorEntry => {
    const bytes = new Uint8Array(data.buffer as ArrayBuffer);
    return {
      name: "w",
      dtype,
      shape,
      bytes: bytes.length,
      read: async (into, offset) => into.set(bytes.subarray(offset, offset + into.length)),
    };
  };

  test("F64 in double precision", async () => {
    const values = new Float64Array([1 + 2 ** -40, 1e140, -0, Number.NaN, Number.NEGATIVE_INFINITY]);
    const found = await statistics(held("F64", values, [5]), 2);
    const { mean, rms } = reference(values);
    expect(found).toEqual({ mean, rms, abs_max: 1e140, nan: 1, inf: 1, zeros: 1, zero_share: 0.2 });
  });

  test("integers and BOOL have a smallest and a largest value", async () => {
    const words = await statistics(held("I64", new BigInt64Array([-5n, 0n, 7n]), [3]), 2);
    expect(words).toEqual({
      mean: null,
      rms: null,
      abs_max: null,
      nan: 0,
      inf: 0,
      zeros: 1,
      zero_share: 1 / 3,
      min: -5,
      max: 7,
    });
    const bits = await statistics(held("BOOL", new Uint8Array([1, 0, 0, 1]), [4]));
    expect([bits.min, bits.max, bits.zero_share]).toEqual([0, 1, 0.5]);
  });
});
