/** Values of types that kernels do not compute with (F64, integers, BOOL, scales of blocks, complex) as numbers. */

import { decodeFloats } from "../checkpoint/decode.ts";
import { DTYPE_BYTES, type Dtype } from "../checkpoint/dtype.ts";

const VIEWS: Partial<Record<Dtype, new (buffer: ArrayBuffer) => ArrayLike<number>>> = {
  F64: Float64Array,
  I32: Int32Array,
  I16: Int16Array,
  I8: Int8Array,
  U32: Uint32Array,
  U16: Uint16Array,
  U8: Uint8Array,
  BOOL: Uint8Array,
};

interface SmallFloat {
  readonly exponent: number;
  readonly mantissa: number;
  readonly bias: number;
  /** The code of a negative zero is the one NaN. */
  readonly nan?: boolean;
}

/** Values of all codes: sign, exponent, mantissa, subnormal numbers, no infinity. */
function smallFloats({ exponent, mantissa, bias, nan = false }: SmallFloat): Float64Array {
  const half = 2 ** (exponent + mantissa);
  return Float64Array.from({ length: 2 * half }, (_, code) => {
    if (nan && code === half) return Number.NaN;
    const power = (code % half) >> mantissa;
    const part = (code % 2 ** mantissa) / 2 ** mantissa;
    const size = power === 0 ? part * 2 ** (1 - bias) : (1 + part) * 2 ** (power - bias);
    return code < half ? size : -size;
  });
}

/** OCP Microscaling Formats 1.0, section 5.3; FNUZ: https://arxiv.org/abs/2206.02915. */
const SMALL: Partial<Record<Dtype, Float64Array>> = {
  F4: smallFloats({ exponent: 2, mantissa: 1, bias: 1 }),
  F6_E2M3: smallFloats({ exponent: 2, mantissa: 3, bias: 1 }),
  F6_E3M2: smallFloats({ exponent: 3, mantissa: 2, bias: 3 }),
  F8_E4M3FNUZ: smallFloats({ exponent: 4, mantissa: 3, bias: 8, nan: true }),
  F8_E5M2FNUZ: smallFloats({ exponent: 5, mantissa: 2, bias: 16, nan: true }),
};

/** Codes of `width` bits (at most 8) that lie densely, the low bits of a byte first. */
function codesOf(bytes: Uint8Array, width: number): Uint8Array {
  if (width === 8) return bytes;
  return Uint8Array.from({ length: Math.floor((8 * bytes.length) / width) }, (_, i) => {
    const bit = i * width;
    const pair = bytes[bit >> 3]! | ((bytes[(bit >> 3) + 1] ?? 0) << 8);
    return (pair >> (bit & 7)) & (2 ** width - 1);
  });
}

/**
 * Little-endian values. 64-bit integers are rounded to the nearest double past 2^53; complex numbers count by their
 * length. Allocates a copy.
 */
export function hostValues(bytes: Uint8Array, dtype: Dtype): ArrayLike<number> {
  const buffer = bytes.slice().buffer as ArrayBuffer;
  if (dtype === "I64") return Float64Array.from(new BigInt64Array(buffer), Number);
  if (dtype === "U64") return Float64Array.from(new BigUint64Array(buffer), Number);
  if (dtype === "F8_E8M0") return Float64Array.from(bytes, (code) => (code === 255 ? Number.NaN : 2 ** (code - 127)));
  if (dtype === "C64") {
    const parts = new Float32Array(buffer);
    return Float64Array.from({ length: parts.length / 2 }, (_, i) => Math.hypot(parts[2 * i]!, parts[2 * i + 1]!));
  }
  const small = SMALL[dtype];
  if (small) return Float64Array.from(codesOf(bytes, 8 * DTYPE_BYTES[dtype]), (code) => small[code]!);
  const View = VIEWS[dtype];
  return View ? new View(buffer) : decodeFloats(bytes, dtype);
}

/** Elements that differ in any byte. */
export function differingElements(a: Uint8Array, b: Uint8Array, dtype: Dtype): number {
  if (Buffer.compare(a, b) === 0) return 0;
  const width = DTYPE_BYTES[dtype];
  let count = 0;
  if (width < 1) {
    const [codes, others] = [codesOf(a, 8 * width), codesOf(b, 8 * width)];
    for (let i = 0; i < codes.length; i++) if (codes[i] !== others[i]) count++;
    return count;
  }
  for (let at = 0; at < a.length; at += width) {
    let same = true;
    for (let i = at; i < at + width; i++) same &&= a[i] === b[i];
    if (!same) count++;
  }
  return count;
}
