/**
 * IQ4_NL and IQ4_XS: codes of four bits into sixteen uneven levels. For every run of 32, fifteen scales are tried with
 * errors weighted by the square of the value, or as in columns.ts where activations are known; IQ4_XS then rounds eight
 * scales to six bits, in units of one f16.
 */

import { LEVELS } from "../../blocks/four-bit.ts";
import { squareSum, weigh } from "./columns.ts";
import { putHalf, type Quantizer } from "./quantizer.ts";
import { extremeOf } from "./search.ts";

const TRIES = 7;

/** The middles between neighbouring levels. */
const MIDDLES = Float64Array.from({ length: 15 }, (_, i) => (LEVELS[i]! + LEVELS[i + 1]!) / 2);

/** The code of the level next to `x`. */
function codeOf(x: number): number {
  let code = x < MIDDLES[7]! ? 0 : 8;
  if (x >= MIDDLES[code + 3]!) code += 4;
  if (x >= MIDDLES[code + 1]!) code += 2;
  if (x >= MIDDLES[code]!) code += 1;
  return code;
}

const weights = new Float64Array(32);

/** The scale of 32 values from `from`; `spread` of those about them. */
function scaleOf(values: Float32Array, from: number, columns: Float32Array | undefined, spread: number): number {
  if (columns) weigh(values, from, weights, { columns, spread });
  const extreme = extremeOf(values, from, 32);
  if (Math.abs(extreme) < 1e-15) return 0;
  let best = 0;
  let scale = 0;
  for (let step = -TRIES; step <= TRIES; step++) {
    const inverse = (step + LEVELS[0]!) / extreme;
    let valueLevel = 0;
    let levelLevel = 0;
    for (let i = from; i < from + 32; i++) {
      const x = values[i]!;
      const level = LEVELS[codeOf(inverse * x)]!;
      const w = columns ? weights[i - from]! : x * x;
      valueLevel += w * x * level;
      levelLevel += w * level * level;
    }
    if (levelLevel > 0 && valueLevel * valueLevel > best * levelLevel) {
      scale = valueLevel / levelLevel;
      best = scale * valueLevel;
    }
  }
  return scale;
}

/** Codes of 32 values from `from` into 16 bytes from `at`. */
function putCodes(out: Uint8Array, at: number, values: Float32Array, from: number, scale: number): void {
  const inverse = scale === 0 ? 0 : 1 / scale;
  for (let i = 0; i < 16; i++) {
    out[at + i] = codeOf(inverse * values[from + i]!) | (codeOf(inverse * values[from + i + 16]!) << 4);
  }
}

export const iq4_nl: Quantizer = {
  weights: 32,
  bytes: 18,
  quantize(values, count, out, columns) {
    for (let b = 0; b < count; b++) {
      const spread = columns ? (2 * squareSum(values, 32 * b, 32)) / 32 : 0;
      const scale = scaleOf(values, 32 * b, columns, spread);
      putHalf(out, 18 * b, scale);
      putCodes(out, 18 * b + 2, values, 32 * b, scale);
    }
  },
};

const scales = new Float32Array(8);

export const iq4_xs: Quantizer = {
  weights: 256,
  bytes: 136,
  quantize(values, count, out, columns) {
    for (let b = 0; b < count; b++) {
      const [from, at] = [256 * b, 136 * b];
      const spread = columns ? (2 * squareSum(values, from, 256)) / 256 : 0;
      for (let run = 0; run < 8; run++) scales[run] = scaleOf(values, from + 32 * run, columns, spread);
      const extreme = extremeOf(scales, 0, 8);
      const unit = putHalf(out, at, extreme / -32);
      out.fill(0, at + 2, at + 8);
      for (let run = 0; run < 8; run++) {
        const factor = extreme === 0 ? 0 : Math.max(-32, Math.min(31, Math.round((-32 / extreme) * scales[run]!)));
        out[at + 4 + (run >> 1)]! |= ((factor + 32) & 15) << (4 * (run & 1));
        out[at + 2 + (run >> 2)]! |= ((factor + 32) >> 4) << (2 * (run & 3));
        putCodes(out, at + 8 + 16 * run, values, from + 32 * run, unit * factor);
      }
    }
  },
};
