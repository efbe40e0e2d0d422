/** Blocks that the golden files do not hold, against plain readers of their layouts, value by value. */
import { expect, test } from "bun:test";
import type { BlockType } from "../../../src/checkpoint/gguf/blocks/block.ts";
import { GGUF_TYPES } from "../../../src/checkpoint/gguf/types.ts";

const blocksOf = (name: string): BlockType => Object.values(GGUF_TYPES).find((type) => type.name === name)!.blocks!;

function decoded(name: string, bytes: Uint8Array<ArrayBuffer>): number[] {
  const type = blocksOf(name);
  const count = bytes.length / type.bytes;
  const values = new Float32Array(count * type.weights);
  type.decode(bytes, count, values);
  return [...values];
}

/** Bytes that differ; an f16 or f32 of a fair size wherever a scale stands. */
function blocks(name: string, count: number, scales: number[], wide = false): Uint8Array<ArrayBuffer> {
  const { bytes } = blocksOf(name);
  const all = new Uint8Array(count * bytes);
  let state = 7;
  for (let i = 0; i < all.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    all[i] = state >>> 24;
  }
  const view = new DataView(all.buffer);
  for (let b = 0; b < count; b++) {
    for (const at of scales) {
      if (wide) view.setFloat32(b * bytes + at, 0.37 * (b + 1), true);
      else view.setFloat16(b * bytes + at, (b % 2 ? -0.0123 : 0.071) * (b + 1 + at), true);
    }
  }
  return all;
}

/** The field of `bits` bits that begins at bit `from`, lowest first. */
function field(bytes: Uint8Array, from: number, bits: number): number {
  let value = 0;
  for (let i = 0; i < bits; i++) value |= ((bytes[(from + i) >> 3]! >> ((from + i) & 7)) & 1) << i;
  return value;
}

const LEVELS = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

test("IQ4_XS: eight runs with a scale of six bits", () => {
  const bytes = blocks("IQ4_XS", 5, [0]);
  const view = new DataView(bytes.buffer);
  const wanted = Array.from({ length: 5 * 256 }, (_, n) => {
    const [block, i] = [Math.floor(n / 256), n % 256];
    const own = bytes.subarray(136 * block, 136 * (block + 1));
    const run = i >> 5;
    const scale = field(own.subarray(4), 4 * run, 4) + 16 * field(own.subarray(2), 2 * run, 2) - 32;
    const code = field(own.subarray(8 + 16 * run), 8 * (i % 16) + (i % 32 < 16 ? 0 : 4), 4);
    return Math.fround(Math.fround(view.getFloat16(136 * block, true) * scale) * LEVELS[code]!);
  });
  expect(decoded("IQ4_XS", bytes)).toEqual(wanted);
});

test("Q8_1 and Q8_K: signed bytes, sums unread", () => {
  const small = blocks("Q8_1", 4, [0]);
  const smallView = new DataView(small.buffer);
  expect(decoded("Q8_1", small)).toEqual(
    Array.from({ length: 4 * 32 }, (_, n) => {
      const at = 36 * Math.floor(n / 32);
      return Math.fround(smallView.getFloat16(at, true) * smallView.getInt8(at + 4 + (n % 32)));
    }),
  );
  const large = blocks("Q8_K", 3, [0], true);
  const largeView = new DataView(large.buffer);
  expect(decoded("Q8_K", large)).toEqual(
    Array.from({ length: 3 * 256 }, (_, n) => {
      const at = 292 * Math.floor(n / 256);
      return Math.fround(largeView.getFloat32(at, true) * largeView.getInt8(at + 4 + (n % 256)));
    }),
  );
});

test("MXFP4: the ends of the scale, and its NaN", () => {
  const bytes = new Uint8Array(3 * 17).fill(0x72); // codes 2 (1) and 7 (6)
  bytes[0] = 0;
  bytes[17] = 254;
  bytes[34] = 255;
  const values = decoded("MXFP4", bytes);
  expect([values[0], values[16]]).toEqual([2 ** -127, 6 * 2 ** -127]);
  expect([values[32], values[48]]).toEqual([2 ** 127, Number.POSITIVE_INFINITY]);
  expect([values[64], values[95]]).toEqual([Number.NaN, Number.NaN]);
});

test("sizes of blocks are those of ggml", () => {
  const sizes = Object.fromEntries(
    Object.values(GGUF_TYPES).flatMap(({ name, blocks: b }) => (b ? [[name, [b.weights, b.bytes]]] : [])),
  );
  expect(sizes).toEqual({
    Q4_0: [32, 18],
    Q4_1: [32, 20],
    Q5_0: [32, 22],
    Q5_1: [32, 24],
    Q8_0: [32, 34],
    Q8_1: [32, 36],
    Q2_K: [256, 84],
    Q3_K: [256, 110],
    Q4_K: [256, 144],
    Q5_K: [256, 176],
    Q6_K: [256, 210],
    Q8_K: [256, 292],
    IQ4_NL: [32, 18],
    IQ4_XS: [256, 136],
    MXFP4: [32, 17],
  });
});
