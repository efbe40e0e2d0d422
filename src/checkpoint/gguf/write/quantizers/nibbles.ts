/**
 * The four types of 32 values with four or five bits: Q4_0 and Q5_0 with a scale, Q4_1 and Q5_1 with a scale and a
 * least value. All arithmetic is in f32 with the scale before it is rounded to f16, as ggml's `quantize_row_*_ref`
 * has it, so the bytes are the same.
 */
import { squareSum, weigh } from "./columns.ts";
import { putHalf, type Quantizer } from "./quantizer.ts";
import { fit, fitRange, symmetricScale } from "./search.ts";

const { fround } = Math;
const WEIGHTS = 32;

const codes = new Uint8Array(WEIGHTS);

/** Writes 32 codes from `at`: the fifth bits as a word where there are any, then nibbles (i low, i + 16 high). */
function putCodes(out: Uint8Array, at: number, bits: 4 | 5): void {
  let nibbles = at;
  if (bits === 5) {
    let fifth = 0;
    for (let i = 0; i < WEIGHTS; i++) fifth |= (codes[i]! >> 4) << i;
    for (let i = 0; i < 4; i++) out[at + i] = fifth >>> (8 * i);
    nibbles += 4;
  }
  for (let i = 0; i < 16; i++) out[nibbles + i] = (codes[i]! & 15) | ((codes[i + 16]! & 15) << 4);
}

const weights = new Float64Array(WEIGHTS);
let spread = 0;

/** Weighs the errors of a block by its columns, and the values' spread over the whole row. */
function weighBlock(values: Float32Array, from: number, columns: Float32Array): void {
  const { length: width } = columns;
  if (from % width === 0) spread = squareSum(values, from, width) / width;
  weigh(values, from, weights, { columns, spread });
}

/**
 * w = d (q - middle): d is the value of largest magnitude over -middle, so that this value has a code of its own, and
 * the sign of d says on which side there is one code more. With known activations (columns.ts) d is searched.
 */
function scaled(bits: 4 | 5): Quantizer {
  const middle = 1 << (bits - 1);
  const most = 2 * middle - 1;
  const bytes = 2 + (bits === 5 ? 4 : 0) + 16;
  return {
    weights: WEIGHTS,
    bytes,
    quantize(values, count, out, columns) {
      for (let b = 0; b < count; b++) {
        const from = WEIGHTS * b;
        if (columns) {
          weighBlock(values, from, columns);
          const unit = putHalf(out, bytes * b, symmetricScale(values, from, WEIGHTS, middle, weights));
          for (let i = 0; i < WEIGHTS; i++) {
            const code = unit === 0 ? 0 : Math.round(values[from + i]! / unit);
            codes[i] = Math.max(0, Math.min(most, code + middle));
          }
          putCodes(out, bytes * b + 2, bits);
          continue;
        }
        let extreme = 0;
        for (let i = 0; i < WEIGHTS; i++) {
          const x = values[from + i]!;
          if (Math.abs(x) > Math.abs(extreme)) extreme = x;
        }
        const scale = fround(extreme / -middle);
        const inverse = scale === 0 ? 0 : fround(1 / scale);
        putHalf(out, bytes * b, scale);
        for (let i = 0; i < WEIGHTS; i++) {
          const x = fround(fround(values[from + i]! * inverse) + (middle + 0.5));
          codes[i] = Math.min(most, Math.trunc(x));
        }
        putCodes(out, bytes * b + 2, bits);
      }
    },
  };
}

/** w = d q + m: m is the least value, d the range over the largest code. With known activations both are searched. */
function ranged(bits: 4 | 5): Quantizer {
  const most = (1 << bits) - 1;
  const bytes = 4 + (bits === 5 ? 4 : 0) + 16;
  return {
    weights: WEIGHTS,
    bytes,
    quantize(values, count, out, columns) {
      for (let b = 0; b < count; b++) {
        const from = WEIGHTS * b;
        if (columns) {
          weighBlock(values, from, columns);
          fitRange(values, from, weights, { most, first: -0.9, steps: 36, apart: 0.05 });
          const unit = putHalf(out, bytes * b, fit.scale);
          const least = putHalf(out, bytes * b + 2, -fit.least);
          for (let i = 0; i < WEIGHTS; i++) {
            const code = unit === 0 ? 0 : Math.round((values[from + i]! - least) / unit);
            codes[i] = Math.max(0, Math.min(most, code));
          }
          putCodes(out, bytes * b + 4, bits);
          continue;
        }
        let low = values[from]!;
        let high = low;
        for (let i = 1; i < WEIGHTS; i++) {
          const x = values[from + i]!;
          if (x < low) low = x;
          if (x > high) high = x;
        }
        const scale = fround(fround(high - low) / most);
        const inverse = scale === 0 ? 0 : fround(1 / scale);
        putHalf(out, bytes * b, scale);
        putHalf(out, bytes * b + 2, low);
        for (let i = 0; i < WEIGHTS; i++) {
          const x = fround(fround(fround(values[from + i]! - low) * inverse) + 0.5);
          codes[i] = Math.min(most, Math.trunc(x));
        }
        putCodes(out, bytes * b + 4, bits);
      }
    },
  };
}

export const q4_0 = scaled(4);
export const q5_0 = scaled(5);
export const q4_1 = ranged(4);
export const q5_1 = ranged(5);
