/**
 * The first family of ggml's quants: 32 values, one f16 scale d, for some an f16 minimum m.
 *
 * Nibbles: byte i holds value i in its low half and value i + 16 in its high half. The fifth bits of Q5 stand apart, as
 * one word of 32 bits, bit i for value i.
 */
import { type BlockType, halfTable } from "./block.ts";

const WEIGHTS = 32;

/** d, then 16 bytes of nibbles: w = d (q - 8). */
export const Q4_0: BlockType = {
  weights: WEIGHTS,
  bytes: 18,
  decode(bytes, count, values) {
    const half = halfTable();
    for (let b = 0; b < count; b++) {
      const at = 18 * b;
      const out = WEIGHTS * b;
      const scale = half[bytes[at]! | (bytes[at + 1]! << 8)]!;
      for (let i = 0; i < 16; i++) {
        const code = bytes[at + 2 + i]!;
        values[out + i] = scale * ((code & 15) - 8);
        values[out + i + 16] = scale * ((code >> 4) - 8);
      }
    }
  },
};

/** d, m, then 16 bytes of nibbles: w = d q + m. */
export const Q4_1: BlockType = {
  weights: WEIGHTS,
  bytes: 20,
  decode(bytes, count, values) {
    const half = halfTable();
    for (let b = 0; b < count; b++) {
      const at = 20 * b;
      const out = WEIGHTS * b;
      const scale = half[bytes[at]! | (bytes[at + 1]! << 8)]!;
      const least = half[bytes[at + 2]! | (bytes[at + 3]! << 8)]!;
      for (let i = 0; i < 16; i++) {
        const code = bytes[at + 4 + i]!;
        values[out + i] = scale * (code & 15) + least;
        values[out + i + 16] = scale * (code >> 4) + least;
      }
    }
  },
};

/** d, 4 bytes of fifth bits, then 16 bytes of nibbles: w = d (q - 16). */
export const Q5_0: BlockType = {
  weights: WEIGHTS,
  bytes: 22,
  decode(bytes, count, values) {
    const half = halfTable();
    for (let b = 0; b < count; b++) {
      const at = 22 * b;
      const out = WEIGHTS * b;
      const scale = half[bytes[at]! | (bytes[at + 1]! << 8)]!;
      const low = bytes[at + 2]! | (bytes[at + 3]! << 8);
      const high = bytes[at + 4]! | (bytes[at + 5]! << 8);
      for (let i = 0; i < 16; i++) {
        const code = bytes[at + 6 + i]!;
        values[out + i] = scale * (((code & 15) | (((low >> i) & 1) << 4)) - 16);
        values[out + i + 16] = scale * (((code >> 4) | (((high >> i) & 1) << 4)) - 16);
      }
    }
  },
};

/** d, m, 4 bytes of fifth bits, then 16 bytes of nibbles: w = d q + m. */
export const Q5_1: BlockType = {
  weights: WEIGHTS,
  bytes: 24,
  decode(bytes, count, values) {
    const half = halfTable();
    for (let b = 0; b < count; b++) {
      const at = 24 * b;
      const out = WEIGHTS * b;
      const scale = half[bytes[at]! | (bytes[at + 1]! << 8)]!;
      const least = half[bytes[at + 2]! | (bytes[at + 3]! << 8)]!;
      const low = bytes[at + 4]! | (bytes[at + 5]! << 8);
      const high = bytes[at + 6]! | (bytes[at + 7]! << 8);
      for (let i = 0; i < 16; i++) {
        const code = bytes[at + 8 + i]!;
        values[out + i] = scale * ((code & 15) | (((low >> i) & 1) << 4)) + least;
        values[out + i + 16] = scale * ((code >> 4) | (((high >> i) & 1) << 4)) + least;
      }
    }
  },
};

/** Signed bytes after a head of `head` bytes that begins with d: w = d q. */
function signedBytes(head: number): BlockType {
  const size = head + WEIGHTS;
  return {
    weights: WEIGHTS,
    bytes: size,
    decode(bytes, count, values) {
      const half = halfTable();
      const signed = new Int8Array(bytes.buffer, bytes.byteOffset, bytes.length);
      for (let b = 0; b < count; b++) {
        const at = size * b;
        const out = WEIGHTS * b;
        const scale = half[bytes[at]! | (bytes[at + 1]! << 8)]!;
        for (let i = 0; i < WEIGHTS; i++) values[out + i] = scale * signed[at + head + i]!;
      }
    },
  };
}

export const Q8_0 = signedBytes(2);
/** As Q8_0, with the sum of the block in f16 after d, which no value depends on. */
export const Q8_1 = signedBytes(4);
