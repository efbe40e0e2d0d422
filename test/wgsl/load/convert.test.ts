/**
 * Storage types on the GPU (lib/bf16, lib/f16, lib/f8, lib/operand, lib/result through tensor/convert) against the CPU's, bit
 * by bit: every pattern of the narrow types, the neighbourhood of every tie, and random patterns.
 */

import { beforeAll, describe, expect, test } from "bun:test";
import { decodeFloats, encodeFloats } from "../../../src/checkpoint/decode.ts";
import { DTYPE_BYTES } from "../../../src/checkpoint/dtype.ts";
import type { Gpu } from "../../../src/gpu/gpu.ts";
import { spanGroups } from "../../../src/gpu/grid.ts";
import { inFlag, type OperandDtype, outFlag } from "../../../src/tensor/load.ts";
import { covers } from "../../support/covers.ts";
import { OPERANDS, SIZES } from "../../support/floats.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { randomPatterns } from "../../support/random.ts";

covers("load/convert");

type From = OperandDtype | "F8_E4M3" | "F8_E5M2";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await sharedGpu();
});

/** Bytes of `from` as bytes of `to`. */
async function converted(
  bytes: Uint8Array,
  from: From,
  to: OperandDtype,
  groups?: [number, number],
): Promise<Uint8Array> {
  const count = bytes.byteLength / DTYPE_BYTES[from];
  const n4 = Math.ceil(count / 4);
  const padded = new Uint8Array(Math.ceil((4 * n4 * DTYPE_BYTES[from]) / 16) * 16);
  padded.set(bytes);
  const input = from.startsWith("F8") ? [from.replace("F8", "from").toLowerCase()] : inFlag(from as OperandDtype);
  using source = gpu.upload(padded, "source");
  using result = gpu.upload(new Uint8Array(4 * n4 * DTYPE_BYTES[to]).fill(0x55), "result");
  gpu.run(await gpu.kernel("load/convert", { flags: [...input, ...outFlag(to)] }), {
    bind: { source: source.buffer, result: result.buffer },
    params: { n4 },
    groups: groups ?? spanGroups(n4),
  });
  return gpu.read(result.buffer, 0, count * DTYPE_BYTES[to], (view) => view.slice());
}

const patterns = (bytes: Uint8Array, dtype: OperandDtype): Uint16Array | Uint32Array =>
  dtype === "F32" ? new Uint32Array(bytes.slice().buffer) : new Uint16Array(bytes.slice().buffer);

/** What a NaN may look like: any in f32 (hardware may quieten it), the quiet one in the narrow types. */
const isQuiet = (pattern: number, dtype: OperandDtype): boolean => {
  if (dtype === "F32") return (pattern & 0x7fffffff) > 0x7f800000;
  return (pattern & 0x7fff) === (dtype === "BF16" ? 0x7fc0 : 0x7e00);
};

/** Compares with the CPU's conversion through f32, bit by bit. Where the value is NaN, any quiet NaN will do. */
async function check(bytes: Uint8Array, from: From, to: OperandDtype): Promise<void> {
  const values = decodeFloats(bytes, from);
  const expected = patterns(encodeFloats(values, to), to);
  const found = patterns(await converted(bytes, from, to), to);
  expect(found.length).toBe(values.length);
  const hex = (word: number) => `0x${word.toString(16)}`;
  for (let i = 0; i < values.length; i++) {
    const fine = Number.isNaN(values[i]!) ? isQuiet(found[i]!, to) : found[i] === expected[i];
    if (!fine) throw new Error(`${from} ${values[i]} became ${hex(found[i]!)} of ${to}, not ${hex(expected[i]!)}`);
  }
}

const wordsAsBytes = (words: Iterable<number>): Uint8Array => new Uint8Array(Uint32Array.from(words).buffer);

describe.each([...OPERANDS])("to %s", (to) => {
  test.each(["BF16", "F16"] as const)("from all 65,536 patterns of %s", async (from) => {
    const all = Uint16Array.from({ length: 65_536 }, (_, i) => i);
    await check(new Uint8Array(all.buffer), from, to);
  });

  test.each(["F8_E4M3", "F8_E5M2"] as const)("from all 256 patterns of %s, at every place of a word", async (from) => {
    const all = Uint8Array.from({ length: 1024 + 7 }, (_, i) => i + (i >> 8));
    await check(all, from, to);
  });

  test("from 2^18 random patterns of F32", async () => {
    await check(new Uint8Array(randomPatterns(1, 1 << 18).buffer), "F32", to);
  });

  test("from the f32 values at, just below and just above every tie of BF16", async () => {
    const near = function* () {
      for (let half = 0; half < 65_536; half++) for (const low of [0x7fff, 0x8000, 0x8001]) yield half * 65_536 + low;
    };
    await check(wordsAsBytes(near()), "F32", to);
  });

  test("from the f32 values at, just below and just above every tie of F16", async () => {
    const grid = decodeFloats(new Uint8Array(Uint16Array.from({ length: 0x7c00 }, (_, i) => i).buffer), "F16");
    const ties = Float32Array.from(grid, (value, i) => (value + (grid[i + 1] ?? 65_536)) / 2); // exact in f32
    const bits = new Uint32Array(ties.buffer);
    const near = function* () {
      for (const tie of bits) for (const step of [-1, 0, 1]) for (const sign of [0, 2 ** 31]) yield tie + step + sign;
    };
    await check(wordsAsBytes(near()), "F32", to);
  });

  test("from the ends of the range", async () => {
    const ends = [
      0,
      2 ** -149,
      2 ** -126,
      2 ** -127,
      2 ** -24,
      2 ** -25,
      1.5 * 2 ** -25,
      2 ** -26,
      2 ** -14,
      65_504,
      65_519.996,
      65_520,
      65_536,
      3.3895313892515355e38,
      3.3961775292304601e38,
      3.4028234663852886e38,
      Number.POSITIVE_INFINITY,
      Number.NaN,
    ];
    await check(encodeFloats(new Float32Array([...ends, ...ends.map((x) => -x)]), "F32"), "F32", to);
  });
});

test("f32 passes unchanged, subnormal numbers and signs of zero too", async () => {
  const words = randomPatterns(5, 1 << 16).map((word) =>
    (word & 0x7f800000) === 0x7f800000 ? word & 0x807fffff : word,
  );
  const bytes = new Uint8Array(words.buffer);
  expect(Buffer.compare(await converted(bytes, "F32", "F32"), bytes)).toBe(0);
});

test.each([...SIZES])("of %d values, exactly those are converted", async (size) => {
  const values = new Float32Array(size).map((_, i) => (i % 251) - 125);
  for (const from of OPERANDS) await check(encodeFloats(values, from), from, "F32");
  await check(encodeFloats(values, "F32"), "F32", "BF16");
  await check(encodeFloats(values, "F8_E5M2"), "F8_E5M2", "F32");
});

test("long ranges are folded over y: rows of workgroups take the spans that follow", async () => {
  const words = randomPatterns(6, 4_096 * 10 + 5).map((word) => word & 0xff7fffff); // finite
  const bytes = new Uint8Array(words.buffer);
  const expected = await converted(bytes, "F32", "BF16");
  for (const groups of [
    [1, 11],
    [4, 3],
    [5, 3],
  ] as [number, number][]) {
    expect(Buffer.compare(await converted(bytes, "F32", "BF16", groups), expected)).toBe(0);
  }
});
