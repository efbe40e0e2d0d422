/** Every decoder against an encoder of its own, on odd sizes, whole and in any range of bytes. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { TensorEntry } from "../../../src/checkpoint/checkpoint.ts";
import { decodeFloats, encodeFloats } from "../../../src/checkpoint/decode.ts";
import { dequantized } from "../../../src/checkpoint/quantized/dequantize.ts";
import { matrixValues } from "../../../src/checkpoint/quantized/matrix.ts";
import { bytesOf } from "../sample.ts";
import {
  awq,
  bitsandbytes,
  bytes,
  checkpointOf,
  type Encoded,
  gptq,
  mlx,
  mxfp4,
  nvfp4,
  packed,
  random,
} from "./encode.ts";

async function plainOf({ tensors, config, name, shape }: Encoded, stripBytes?: number): Promise<TensorEntry> {
  const { tensors: plain, files } = await dequantized(checkpointOf(tensors, config), stripBytes ? { stripBytes } : {});
  expect([...plain.keys()]).toEqual([name]);
  const entry = plain.get(name)!;
  expect([entry.dtype, entry.shape]).toEqual(["F32", shape]);
  expect(new TextDecoder().decode(files.get("config.json"))).toBe("{}\n");
  return entry;
}

/** The values of its codes in some rows, as the tensor has them; undefined where it is no matrix of codes. */
async function checkCodes({ codes, shape }: TensorEntry, expected: Float32Array, share: number): Promise<void> {
  if (!codes) return;
  const { rows, columns, transposed } = codes;
  const [first, sides] = [Math.floor(share * (rows - 1)), shape.slice(-2)];
  expect(sides).toEqual(transposed ? [columns, sides[1]!] : [sides[0]!, columns]);
  for (const [from, count] of [
    [0, rows],
    [first, Math.max(1, rows - first - 1)],
  ] as const) {
    const matrix = await codes.read(from, count);
    expect([matrix.rows, matrix.columns, matrix.bits, matrix.group]).toEqual([
      ...[count, columns, codes.bits, codes.group],
    ]);
    const kind = matrix.levels ? "levels" : matrix.offsets ? "offsets" : matrix.zeros ? "zeros" : "integers";
    expect([kind, matrix.groupOf !== undefined]).toEqual([codes.with, codes.indexed]);
    const scales = new Float32Array(matrix.scales);
    if (codes.scaleDtype !== "F32")
      expect(decodeFloats(encodeFloats(scales, codes.scaleDtype), codes.scaleDtype)).toEqual(scales);
    const values = matrixValues(matrix);
    const height = transposed ? sides[1]! : rows;
    const wanted = Float32Array.from(values, (_, i) => {
      const [row, column] = [from + Math.floor(i / columns), i % columns];
      const [one, own] = [Math.floor(row / height), row % height];
      return expected[transposed ? (one * columns + column) * height + own : row * columns + column]!;
    });
    expect(Buffer.compare(new Uint8Array(values.buffer), new Uint8Array(wanted.buffer))).toBe(0);
  }
}

/** Bit-equal in one read, and in a read that begins and ends anywhere. */
async function checkRanges(encoded: Encoded, from: number, to: number, stripBytes?: number): Promise<void> {
  const entry = await plainOf(encoded, stripBytes);
  const expected = new Uint8Array(encoded.expected.buffer);
  expect(Buffer.compare(await bytesOf(entry), expected)).toBe(0);
  await checkCodes(entry, encoded.expected, from);
  const begin = Math.floor(Math.min(from, to) * entry.bytes);
  const part = new Uint8Array(1 + Math.floor(Math.abs(to - from) * (entry.bytes - 1)));
  await entry.read(part, Math.min(begin, entry.bytes - part.length));
  const at = Math.min(begin, entry.bytes - part.length);
  expect(Buffer.compare(part, expected.subarray(at, at + part.length))).toBe(0);
}

const share = fc.double({ min: 0, max: 1, noNaN: true });
const size = (max: number) => fc.integer({ min: 1, max });
const run = { numRuns: 60, seed: 11 };

/** Checks `make` on random sizes and ranges. */
const property = <T extends unknown[]>(
  arbitraries: { [K in keyof T]: fc.Arbitrary<T[K]> },
  make: (...args: T) => Encoded,
) =>
  fc.assert(
    fc.asyncProperty(fc.tuple(...arbitraries), share, share, async (args, from, to) => {
      await checkRanges(make(...(args as T)), from, to, 500 + 1e4 * from);
    }),
    run,
  );

const seed = fc.integer();

describe("decoders give what encoders packed", () => {
  for (const bits of [2, 3, 4, 8]) {
    test(`GPTQ, ${bits} bits`, () =>
      property([seed, size(70), size(70), size(20), fc.boolean(), fc.boolean()], (s, o, i, group, order, v2) =>
        gptq(random(s), o, 32 * Math.ceil(i / 32) + (order ? i % 7 : 0), bits, 32 * Math.ceil(group / 16), order, v2),
      ));
  }

  test("AWQ", () => property([seed, size(5), size(50), size(20)], (s, o, i, group) => awq(random(s), 8 * o, i, group)));

  test("FP8 in blocks, cut at the edges", () =>
    property([seed, size(40), size(50), size(24), size(24)], (s, o, i, b0, b1) =>
      bytes(random(s), [o, i], [b0, b1], s % 2 ? "F8_E4M3" : "F8_E5M2", "fp8"),
    ));

  test("compressed-tensors in bytes: per tensor, row, group and block, with and without zero points", () =>
    property([seed, size(20), size(8), size(8), fc.nat(3), fc.boolean()], (s, o, groups, group, kind, zero) => {
      const i = groups * group;
      const block = [
        [o, i],
        [1, i],
        [1, group],
        [3, 5],
      ][kind] as [number, number];
      return bytes(random(s), [o, i], block, zero ? "I8" : "F8_E4M3", "compressed", zero);
    }));

  for (const bits of [1, 2, 3, 4, 5, 6, 7, 8]) {
    test(`compressed-tensors pack-quantized, ${bits} bits`, () =>
      property([seed, size(40), size(60), size(20), fc.boolean(), fc.boolean()], (s, o, i, group, zero, order) =>
        packed(random(s), o, i, bits, group, zero, order),
      ));
  }

  test("compressed-tensors NVFP4", () => property([seed, size(20), size(4)], (s, o, i) => nvfp4(random(s), o, 16 * i)));

  test("bitsandbytes in 4 bits, nested or not, of odd sizes", () =>
    property([seed, size(13), size(21), size(40), fc.boolean()], (s, o, i, block, nested) =>
      bitsandbytes(random(s), [o, i], block, nested),
    ));

  test("bitsandbytes int8", () =>
    property([seed, size(20), size(30)], (s, o, i) => bytes(random(s), [o, i], [1, i], "I8", "int8")));

  test("MXFP4 experts", () =>
    property([seed, size(3), size(20), size(3)], (s, experts, rows, groups) =>
      mxfp4(random(s), experts, rows, groups),
    ));

  for (const bits of [2, 3, 4, 5, 6, 8]) {
    test(`MLX affine, ${bits} bits`, () =>
      property([seed, size(3), size(9), size(3), size(3)], (s, stack, o, groups, group) =>
        mlx(random(s), [stack, o], groups, 32 * group, bits),
      ));
  }
});

describe("matrices that take several strips", () => {
  const large: Record<string, () => Encoded> = {
    "GPTQ with short rows": () => gptq(random(1), 300, 128, 3, 32, true, false),
    "GPTQ with long rows": () => gptq(random(2), 9000, 32, 8, 16, false, false),
    "AWQ with short rows": () => awq(random(3), 640, 90, 64),
    MXFP4: () => mxfp4(random(4), 2, 50, 12),
  };
  for (const [name, make] of Object.entries(large)) {
    test(name, () => checkRanges(make(), 0.31, 0.77, 4000));
  }
});
