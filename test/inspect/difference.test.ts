/** Differences against sums in double precision, over sizes, types and chunks. */
import { describe, expect, test } from "bun:test";
import type { TensorEntry } from "../../src/checkpoint/checkpoint.ts";
import type { Dtype } from "../../src/checkpoint/dtype.ts";
import { differenceOf, differenceTasks, type Gap } from "../../src/inspect/difference.ts";
import { inFlight } from "../../src/inspect/in-flight-reads.ts";
import { covers } from "../support/covers.ts";
import { entryOf } from "../support/entry.ts";
import { rounded } from "../support/floats.ts";
import { sharedGpu } from "../support/gpu.ts";
import { normals } from "../support/random.ts";

covers("inspect/difference");

const SIZES = [1, 3, 255, 257, 4097, 65537];
const DTYPES: readonly Dtype[] = ["F32", "F16", "BF16", "F8_E4M3", "F8_E5M2"];

async function gapOf(a: TensorEntry, b: TensorEntry, chunkValues?: number): Promise<Gap> {
  let found: Gap | undefined;
  const tasks = await differenceTasks(
    sharedGpu,
    [a, b],
    (gap) => {
      found = gap;
    },
    chunkValues,
  );
  await inFlight(tasks, false);
  return found!;
}

function reference(a: ArrayLike<number>, b: ArrayLike<number>) {
  let [dd, aa, ab, bb, absMax, differing, nonfinite] = [0, 0, 0, 0, 0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    const [x, y] = [a[i]!, b[i]!];
    if (!Object.is(x, y)) differing++;
    if (!Number.isFinite(x) || !Number.isFinite(y)) nonfinite++;
    else {
      dd += (x - y) ** 2;
      aa += x * x;
      ab += x * y;
      bb += y * y;
      absMax = Math.max(absMax, Math.abs(x - y));
    }
  }
  return { dd, aa, ab, bb, absMax, differing, nonfinite };
}

function expectLike(found: Gap, a: ArrayLike<number>, b: ArrayLike<number>): void {
  const wanted = reference(a, b);
  expect([found.differing, found.nonfinite]).toEqual([wanted.differing, wanted.nonfinite]);
  const near = (value: number, expected: number, scale: number) =>
    expect(Math.abs(value - expected)).toBeLessThanOrEqual(40 * 2 ** -24 * scale);
  near(found.aa, wanted.aa, wanted.aa);
  near(found.bb, wanted.bb, wanted.bb);
  near(found.ab, wanted.ab, Math.sqrt(wanted.aa * wanted.bb));
  near(found.dd, wanted.dd, wanted.dd);
  near(found.absMax, wanted.absMax, wanted.absMax);
}

describe.each([...DTYPES])("%s", (dtype) => {
  test.each(SIZES)("%d values, some of them NaN, infinite or -0", async (size) => {
    const a = normals(size, size);
    const b = a.map((value, i) => (i % 3 === 0 ? value : value + 0.3 * Math.sin(i)));
    for (let i = 3; i < size; i += 50) {
      a[i] = [Number.NaN, Number.POSITIVE_INFINITY, -0][i % 3]!;
      b[i] = [Number.NaN, 1, 0][(i >> 1) % 3]!;
    }
    const [left, right] = [entryOf("w", dtype, [size], a), entryOf("w", dtype, [size], b)];
    for (const chunk of [undefined, 1003]) {
      expectLike(await gapOf(left, right, chunk), rounded(a, dtype), rounded(b, dtype));
    }
  });

  test("a tensor and itself are identical, NaN and all", async () => {
    const a = normals(1, 777);
    a[5] = Number.NaN;
    const gap = await gapOf(entryOf("w", dtype, [777], a), entryOf("w", dtype, [777], a));
    const { distance, cosine, abs_max, differing, nonfinite } = differenceOf(gap);
    expect([distance, abs_max, differing, nonfinite]).toEqual([0, 0, 0, 1]);
    expect(cosine).toBeCloseTo(1, 12);
  });
});

describe("range", () => {
  const compared = async (a: Float32Array, b: Float32Array) =>
    expectLike(await gapOf(entryOf("w", "F32", [a.length], a), entryOf("w", "F32", [b.length], b)), a, b);

  test.each([1e-30, 1e-20, 1e19, 1e30])("values near %d neither vanish nor overflow", async (size) => {
    const a = normals(1, 5000).map((value) => value * size);
    const b = a.map((value, i) => (i % 5 === 0 ? 0 : value));
    await compared(a, b);
  });

  test("differences larger than f32 holds", async () => {
    const a = normals(1, 5000).map((value) => Math.max(-1, Math.min(1, value)) * 3e38);
    const [left, right] = [
      entryOf("w", "F32", [5000], a),
      entryOf(
        "w",
        "F32",
        [5000],
        a.map((value) => -value),
      ),
    ];
    const gap = await gapOf(left, right);
    expect(differenceOf(gap).distance).toBeCloseTo(2, 5);
    expect(differenceOf(gap).cosine).toBeCloseTo(-1, 6);
    expect(gap.absMax).toBe(2 * Math.max(...a.map(Math.abs)));
  });

  test("one tiny difference among large values", async () => {
    const a = normals(1, 5000);
    const b = a.slice();
    a[17] = 2e-25;
    b[17] = 1e-25;
    await compared(a, b);
  });
});

test("bits that no arithmetic tells apart differ", async () => {
  const of = (words: number[], dtype: Dtype): TensorEntry => {
    const bytes = new Uint8Array(new Uint16Array(words).buffer);
    const read: TensorEntry["read"] = async (into, offset) => into.set(bytes.subarray(offset, offset + into.length));
    return { name: "w", dtype, shape: [words.length], bytes: bytes.length, read };
  };
  // A zero of either sign, and NaNs of two payloads.
  for (const dtype of ["F16", "BF16"] as const) {
    const gap = await gapOf(of([0x0000, 0x7fc1, 0x3c00], dtype), of([0x8000, 0x7fc2, 0x3c00], dtype));
    expect([gap.differing, gap.dd, gap.absMax]).toEqual([2, 0, 0]);
  }
});

test("two types are compared as f32", async () => {
  const values = normals(4, 300);
  const gap = await gapOf(entryOf("w", "BF16", [300], values), entryOf("w", "F32", [300], values), 64);
  expectLike(gap, rounded(values, "BF16"), values);
});

test("F64 is compared in double precision", async () => {
  const of = (values: Float64Array): TensorEntry => {
    const bytes = new Uint8Array(values.buffer);
    const read: TensorEntry["read"] = async (into, offset) => into.set(bytes.subarray(offset, offset + into.length));
    return { name: "w", dtype: "F64", shape: [values.length], bytes: bytes.length, read };
  };
  const gap = await gapOf(of(new Float64Array([1 + 2 ** -40, 2])), of(new Float64Array([1, 2])));
  expect([gap.absMax, gap.differing]).toEqual([2 ** -40, 1]);
});

test("a tensor of zeros has no direction", () => {
  const zero = { values: 1, dd: 4, aa: 4, ab: 0, bb: 0, absMax: 2, differing: 1, nonfinite: 0 };
  expect(differenceOf(zero)).toEqual({ distance: null, cosine: null, abs_max: 2, differing: 1, nonfinite: 0 });
});
