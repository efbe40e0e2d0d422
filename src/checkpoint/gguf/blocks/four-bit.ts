/**
 * Quants of four bits whose codes index a table: IQ4_NL and IQ4_XS (sixteen uneven levels), MXFP4 (the sixteen values
 * of E2M1, with a power of two as scale, OCP Microscaling Formats 1.0). Low nibbles are the first half of a run.
 */
import { type BlockType, halfTable } from "./block.ts";

/** Levels of IQ4_NL and IQ4_XS (ggml's kvalues_iq4nl). */
export const LEVELS = Float32Array.of(-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113);
/** Values of E2M1 by code. */
const E2M1 = Float32Array.of(0, 0.5, 1, 1.5, 2, 3, 4, 6, -0, -0.5, -1, -1.5, -2, -3, -4, -6);

/** 16 bytes of nibbles from `at` become 32 values from `out`. */
function look(
  table: Float32Array,
  bytes: Uint8Array,
  at: number,
  scale: number,
  values: Float32Array,
  out: number,
): void {
  for (let i = 0; i < 16; i++) {
    const code = bytes[at + i]!;
    values[out + i] = scale * table[code & 15]!;
    values[out + i + 16] = scale * table[code >> 4]!;
  }
}

/** d (f16), then 16 bytes of nibbles. */
export const IQ4_NL: BlockType = {
  weights: 32,
  bytes: 18,
  decode(bytes, count, values) {
    const half = halfTable();
    for (let b = 0; b < count; b++) {
      const at = 18 * b;
      look(LEVELS, bytes, at + 2, half[bytes[at]! | (bytes[at + 1]! << 8)]!, values, 32 * b);
    }
  },
};

/**
 * 256 values: d (f16), 16 bits with the upper two of eight scales, 4 bytes with their lower four, then eight runs of 16
 * bytes. A scale is six bits less 32.
 */
export const IQ4_XS: BlockType = {
  weights: 256,
  bytes: 136,
  decode(bytes, count, values) {
    const half = halfTable();
    for (let b = 0; b < count; b++) {
      const at = 136 * b;
      const scale = half[bytes[at]! | (bytes[at + 1]! << 8)]!;
      const upper = bytes[at + 2]! | (bytes[at + 3]! << 8);
      for (let run = 0; run < 8; run++) {
        const lower = (bytes[at + 4 + (run >> 1)]! >> (4 * (run & 1))) & 15;
        const factor = (lower | (((upper >> (2 * run)) & 3) << 4)) - 32;
        look(LEVELS, bytes, at + 8 + 16 * run, scale * factor, values, 256 * b + 32 * run);
      }
    }
  },
};

/** 2^(code - 127) for all 256 codes of E8M0; 255 is NaN. */
const POWERS = Float32Array.from({ length: 256 }, (_, code) => (code === 255 ? Number.NaN : 2 ** (code - 127)));

/** One byte of scale (E8M0), then 16 bytes of nibbles. */
export const MXFP4: BlockType = {
  weights: 32,
  bytes: 17,
  decode(bytes, count, values) {
    for (let b = 0; b < count; b++) {
      const at = 17 * b;
      look(E2M1, bytes, at + 1, POWERS[bytes[at]!]!, values, 32 * b);
    }
  },
};
