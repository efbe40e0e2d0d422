/**
 * Bytes of a float tensor to f32 values and back, on the CPU.
 *
 * The GPU has its own kernels for this; these serve small tensors, file conversions while reading, and tests.
 * F8 follows OCP 8-bit Floating Point (E4M3 in its finite-only form, E5M2) and overflows as PyTorch does.
 */
import { DTYPE_BYTES, type Dtype } from "./dtype.ts";

/** Values of all 256 bytes of an F8 type; exponent bias 7 (E4M3) or 15 (E5M2). */
function floatTable(dtype: "F8_E4M3" | "F8_E5M2"): Float32Array {
  const mantissaBits = dtype === "F8_E4M3" ? 3 : 2;
  const bias = dtype === "F8_E4M3" ? 7 : 15;
  return Float32Array.from({ length: 256 }, (_, byte) => {
    const sign = byte & 0x80 ? -1 : 1;
    const exponent = (byte & 0x7f) >> mantissaBits;
    const mantissa = byte & ((1 << mantissaBits) - 1);
    if (dtype === "F8_E4M3" && (byte & 0x7f) === 0x7f) return Number.NaN;
    if (dtype === "F8_E5M2" && exponent === 31) return mantissa === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
    const significand = mantissa / (1 << mantissaBits);
    return exponent === 0 ? sign * significand * 2 ** (1 - bias) : sign * (1 + significand) * 2 ** (exponent - bias);
  });
}

const TABLES = { F8_E4M3: floatTable("F8_E4M3"), F8_E5M2: floatTable("F8_E5M2") };

/** First positive code that is not a finite number, and the value it would have if the format continued. */
const F8_END = { F8_E4M3: { code: 0x7f, value: 480 }, F8_E5M2: { code: 0x7c, value: 65536 } };

/** Typed arrays need an address that is a multiple of their element; a copy always has one. */
const aligned = (bytes: Uint8Array, width: number): Uint8Array =>
  bytes.byteOffset % width === 0 ? bytes : bytes.slice();

/**
 * Reads little-endian floats as f32, into `into` where it is given. F64 is rounded to the nearest f32; every other type
 * is exact. Throws RangeError for a type that is not a float or a partial element.
 */
export function decodeFloats(bytes: Uint8Array, dtype: Dtype, into?: Float32Array<ArrayBuffer>): Float32Array {
  const width = DTYPE_BYTES[dtype];
  const count = bytes.byteLength / width;
  if (!Number.isInteger(count)) throw new RangeError(`${bytes.byteLength} bytes are not a whole number of ${dtype}`);
  const source = aligned(bytes, width);
  const { buffer, byteOffset } = source;
  const values = into ?? new Float32Array(count);
  switch (dtype) {
    case "F32":
      values.set(new Float32Array(buffer, byteOffset, count));
      return values;
    case "F64":
      values.set(new Float64Array(buffer, byteOffset, count));
      return values;
    case "F16":
      values.set(new Float16Array(buffer, byteOffset, count));
      return values;
    case "BF16": {
      const halves = new Uint16Array(buffer, byteOffset, count);
      const bits = new Uint32Array(values.buffer, values.byteOffset, count);
      for (let i = 0; i < count; i++) bits[i] = halves[i]! << 16;
      return values;
    }
    case "F8_E4M3":
    case "F8_E5M2": {
      const table = TABLES[dtype];
      for (let i = 0; i < count; i++) values[i] = table[source[i]!]!;
      return values;
    }
    default:
      throw new RangeError(`${dtype} is not a float type`);
  }
}

/** Nearest code of an F8 type, ties to the even code. */
function encodeF8(value: number, dtype: "F8_E4M3" | "F8_E5M2"): number {
  const sign = value < 0 || Object.is(value, -0) ? 0x80 : 0;
  if (Number.isNaN(value)) return 0x7f;
  const table = TABLES[dtype];
  const end = F8_END[dtype];
  const magnitude = Math.abs(value);
  if (magnitude >= end.value) return sign | end.code;
  // Positive codes grow with their values: find the last one that is not above.
  let low = 0;
  let high = end.code - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (table[middle]! <= magnitude) low = middle;
    else high = middle - 1;
  }
  const above = low + 1 === end.code ? end.value : table[low + 1]!;
  const midpoint = (table[low]! + above) / 2;
  const up = magnitude > midpoint || (magnitude === midpoint && low % 2 === 1);
  return sign | (up ? low + 1 : low);
}

/**
 * Writes f32 values as little-endian `dtype`, to nearest, ties to even. Past the largest value F16, BF16 and E5M2 give
 * infinity and E4M3, which has none, gives NaN. Throws RangeError for a type that is not a float.
 */
export function encodeFloats(values: Float32Array, dtype: Dtype): Uint8Array {
  const count = values.length;
  switch (dtype) {
    case "F32":
      return new Uint8Array(values.slice().buffer);
    case "F64":
      return new Uint8Array(Float64Array.from(values).buffer);
    case "F16":
      return new Uint8Array(Float16Array.from(values).buffer);
    case "BF16": {
      const bits = new Uint32Array(values.buffer, values.byteOffset, count);
      const halves = new Uint16Array(count);
      for (let i = 0; i < count; i++) {
        const word = bits[i]!;
        const isNan = (word & 0x7fffffff) > 0x7f800000;
        // Rounding a NaN could carry into infinity: cut it instead and set the quiet bit.
        halves[i] = isNan ? (word >>> 16) | 0x40 : (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;
      }
      return new Uint8Array(halves.buffer);
    }
    case "F8_E4M3":
    case "F8_E5M2":
      return Uint8Array.from(values, (value) => encodeF8(value, dtype));
    default:
      throw new RangeError(`${dtype} is not a float type`);
  }
}
