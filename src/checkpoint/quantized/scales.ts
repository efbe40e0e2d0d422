/**
 * Types in which layouts store scales. A quantizer rounds a scale to what will be stored before it chooses codes, so
 * that a file gives back the values that it chose.
 */
import { decodeFloats, encodeFloats } from "../decode.ts";

/**
 * `F8_E8M0` is a power of two in a byte; `F8_E4M3` has a divisor for the whole matrix (NVFP4); `F32/127` is the f32 of
 * which 1/127 scales the codes (bitsandbytes int8).
 */
export type ScaleDtype = "F32" | "BF16" | "F16" | "F8_E8M0" | "F8_E4M3" | "F32/127";

const LARGEST = { F16: 65504, BF16: 3.3895313892515355e38, F8_E4M3: 448 } as const;
const SMALLEST = { F16: 2 ** -24, BF16: 2 ** -133, F8_E4M3: 2 ** -9 } as const;

/** Nearest values of a float type; what is not zero stays so, and nothing goes past the largest. */
function nearest(scales: Float32Array, dtype: keyof typeof LARGEST): Float32Array {
  const rounded = decodeFloats(encodeFloats(scales, dtype), dtype);
  for (const [k, scale] of scales.entries()) {
    const sign = Math.sign(scale);
    if (Math.abs(scale) > LARGEST[dtype]) rounded[k] = sign * LARGEST[dtype];
    else if (sign !== 0 && rounded[k] === 0) rounded[k] = sign * SMALLEST[dtype];
  }
  return rounded;
}

/** The largest power of two that is not above a positive number; the smallest of the type for 0. */
export function powerBelow(value: number): number {
  if (!(value > 2 ** -127)) return 2 ** -127;
  const power = Math.floor(Math.log2(value));
  const exact = 2 ** power > value ? power - 1 : 2 ** (power + 1) <= value ? power + 1 : power;
  return 2 ** Math.min(127, exact);
}

const BITS = new Uint32Array(1);
const FLOAT = new Float32Array(BITS.buffer);

/** How round a number is in base 2: bits at the end of its f32 that are 0. */
function trailingZeros(value: number): number {
  FLOAT[0] = value;
  return 31 - Math.clz32(BITS[0]! & -BITS[0]!);
}

/**
 * The numbers that bitsandbytes stores, for scales that are 1/127 of them: the largest magnitudes of rows. Division
 * rounds, so that several may have one scale, or none: the nearest, and of those the roundest, as weights of 16 bits
 * are.
 */
export const timesLargest = (scales: Float32Array): Float32Array =>
  scales.map((scale) => {
    const product = Math.fround(scale * 127);
    const step = 2 ** (Math.floor(Math.log2(Math.abs(product) || 1)) - 23);
    const candidates = [product, product - step, product + step].map(Math.fround);
    const gap = (candidate: number) => Math.abs(Math.fround(candidate / 127) - scale);
    candidates.sort((a, b) => gap(a) - gap(b) || trailingZeros(b) - trailingZeros(a));
    return candidates[0]!;
  });

/**
 * Scales as a layout stores and reads them; `divisor` is that of the matrix for `F8_E4M3`. A power of two is the one
 * that is not above.
 */
export function storedScales(scales: Float32Array, dtype: ScaleDtype, divisor = 1): Float32Array {
  switch (dtype) {
    case "F32":
      return scales.slice();
    case "F16":
    case "BF16":
      return nearest(scales, dtype);
    case "F8_E8M0":
      return scales.map(powerBelow);
    case "F8_E4M3":
      return nearest(
        scales.map((scale) => scale * divisor),
        dtype,
      ).map((scale) => Math.fround(scale / divisor));
    case "F32/127":
      return timesLargest(scales).map((scale) => Math.fround(scale / 127));
  }
}

/**
 * A divisor of NVFP4 for the largest magnitude of a matrix, of which 1/6 is the largest scale: the largest power of two
 * that keeps this at 448 or below, the end of e4m3. Values are then exact products of a few bits, which a second
 * rounding leaves as they are; any number up to twice as large would do. 1 for a matrix of zeros.
 */
export const nvfp4Divisor = (largest: number): number => (largest > 0 ? powerBelow((448 * 6) / largest) : 1);
