/**
 * ggml's K-quants: 256 values in runs of 16 or 32, each run with a scale (and for some a minimum) of few bits, which
 * themselves are in units of one f16 per block.
 */
import { type BlockType, halfTable } from "./block.ts";

const WEIGHTS = 256;

/** 16 bytes of scale (low nibble) and minimum (high), 64 bytes of 2 bits, d, dmin: w = d sc q - dmin m, runs of 16. */
export const Q2_K: BlockType = {
  weights: WEIGHTS,
  bytes: 84,
  decode(bytes, count, values) {
    const half = halfTable();
    for (let b = 0; b < count; b++) {
      const at = 84 * b;
      const scale = half[bytes[at + 80]! | (bytes[at + 81]! << 8)]!;
      const least = half[bytes[at + 82]! | (bytes[at + 83]! << 8)]!;
      for (let run = 0; run < 16; run++) {
        const both = bytes[at + run]!;
        const factor = scale * (both & 15);
        const minus = least * (both >> 4);
        const { codes, shift } = planeOf(run);
        const out = WEIGHTS * b + 16 * run;
        for (let i = 0; i < 16; i++) {
          values[out + i] = factor * ((bytes[at + 16 + codes + i]! >> shift) & 3) - minus;
        }
      }
    }
  },
};

/**
 * Where run `run` of 16 values has its two low bits: every 128 values share 32 bytes, two bits of each byte for every
 * 32 values.
 */
const planeOf = (run: number) => ({ codes: 32 * (run >> 3) + 16 * (run & 1), shift: 2 * ((run >> 1) & 3) });

/**
 * 32 bytes of third bits, 64 bytes of 2 bits, 12 bytes of sixteen 6-bit scales (less 32), d: w = d sc (q - 4), where
 * the third bit counts 4.
 */
export const Q3_K: BlockType = {
  weights: WEIGHTS,
  bytes: 110,
  decode(bytes, count, values) {
    const half = halfTable();
    for (let b = 0; b < count; b++) {
      const at = 110 * b;
      const scale = half[bytes[at + 108]! | (bytes[at + 109]! << 8)]!;
      for (let run = 0; run < 16; run++) {
        // Scales: four low bits in 8 bytes (runs 0 to 7 low nibbles, 8 to 15 high), two high bits in 4 bytes.
        const low = (bytes[at + 96 + (run & 7)]! >> (run < 8 ? 0 : 4)) & 15;
        const high = (bytes[at + 104 + (run & 3)]! >> (2 * (run >> 2))) & 3;
        const factor = scale * ((low | (high << 4)) - 32);
        const { codes, shift } = planeOf(run);
        const third = 16 * (run & 1);
        const out = WEIGHTS * b + 16 * run;
        for (let i = 0; i < 16; i++) {
          const two = (bytes[at + 32 + codes + i]! >> shift) & 3;
          const top = (bytes[at + third + i]! >> (run >> 1)) & 1;
          values[out + i] = factor * (two + 4 * top - 4);
        }
      }
    }
  },
};

/** Eight 6-bit scales and eight 6-bit minima in 12 bytes from `at`, as Q4_K and Q5_K pack them. */
function sixBitPair(bytes: Uint8Array, at: number, run: number): { scale: number; least: number } {
  if (run < 4) return { scale: bytes[at + run]! & 63, least: bytes[at + run + 4]! & 63 };
  return {
    scale: (bytes[at + run + 4]! & 15) | ((bytes[at + run - 4]! >> 6) << 4),
    least: (bytes[at + run + 4]! >> 4) | ((bytes[at + run]! >> 6) << 4),
  };
}

/** d, dmin, 12 bytes of scales and minima, 128 bytes of nibbles: w = d sc q - dmin m, runs of 32. */
export const Q4_K: BlockType = {
  weights: WEIGHTS,
  bytes: 144,
  decode(bytes, count, values) {
    const half = halfTable();
    for (let b = 0; b < count; b++) {
      const at = 144 * b;
      const unit = half[bytes[at]! | (bytes[at + 1]! << 8)]!;
      const unitLeast = half[bytes[at + 2]! | (bytes[at + 3]! << 8)]!;
      for (let run = 0; run < 8; run++) {
        const { scale, least } = sixBitPair(bytes, at + 4, run);
        const factor = unit * scale;
        const minus = unitLeast * least;
        const codes = at + 16 + 32 * (run >> 1);
        const shift = 4 * (run & 1);
        const out = WEIGHTS * b + 32 * run;
        for (let i = 0; i < 32; i++) values[out + i] = factor * ((bytes[codes + i]! >> shift) & 15) - minus;
      }
    }
  },
};

/** As Q4_K, with 32 bytes of fifth bits before the nibbles: bit r of byte i belongs to value i of run r. */
export const Q5_K: BlockType = {
  weights: WEIGHTS,
  bytes: 176,
  decode(bytes, count, values) {
    const half = halfTable();
    for (let b = 0; b < count; b++) {
      const at = 176 * b;
      const unit = half[bytes[at]! | (bytes[at + 1]! << 8)]!;
      const unitLeast = half[bytes[at + 2]! | (bytes[at + 3]! << 8)]!;
      for (let run = 0; run < 8; run++) {
        const { scale, least } = sixBitPair(bytes, at + 4, run);
        const factor = unit * scale;
        const minus = unitLeast * least;
        const codes = at + 48 + 32 * (run >> 1);
        const shift = 4 * (run & 1);
        const out = WEIGHTS * b + 32 * run;
        for (let i = 0; i < 32; i++) {
          const fifth = (bytes[at + 16 + i]! >> run) & 1;
          values[out + i] = factor * (((bytes[codes + i]! >> shift) & 15) | (fifth << 4)) - minus;
        }
      }
    }
  },
};

/**
 * 128 bytes of 4 low bits, 64 of 2 high bits, 16 signed scales, d: w = d sc (q - 32), runs of 16. Every 128 values have
 * 64 bytes of low bits (the first 64 values in the low nibbles) and 32 bytes of high bits (two for every 32 values).
 */
export const Q6_K: BlockType = {
  weights: WEIGHTS,
  bytes: 210,
  decode(bytes, count, values) {
    const half = halfTable();
    const signed = new Int8Array(bytes.buffer, bytes.byteOffset, bytes.length);
    for (let b = 0; b < count; b++) {
      const at = 210 * b;
      const unit = half[bytes[at + 208]! | (bytes[at + 209]! << 8)]!;
      for (let run = 0; run < 16; run++) {
        const factor = unit * signed[at + 192 + run]!;
        const part = (run >> 1) & 3; // which 32 of the 128
        const low = at + 64 * (run >> 3) + 32 * (part & 1) + 16 * (run & 1);
        const lowShift = 4 * (part >> 1);
        const high = at + 128 + 32 * (run >> 3) + 16 * (run & 1);
        const highShift = 2 * part;
        const out = WEIGHTS * b + 16 * run;
        for (let i = 0; i < 16; i++) {
          const code = ((bytes[low + i]! >> lowShift) & 15) | (((bytes[high + i]! >> highShift) & 3) << 4);
          values[out + i] = factor * (code - 32);
        }
      }
    }
  },
};

/** d (f32), 256 signed bytes, then sums that no value depends on: w = d q. */
export const Q8_K: BlockType = {
  weights: WEIGHTS,
  bytes: 292,
  decode(bytes, count, values) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    for (let b = 0; b < count; b++) {
      const at = 292 * b;
      const scale = view.getFloat32(at, true);
      for (let i = 0; i < WEIGHTS; i++) values[WEIGHTS * b + i] = scale * view.getInt8(at + 4 + i);
    }
  },
};
