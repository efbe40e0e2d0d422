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
  const View = VIEWS[dtype];
  return View ? new View(buffer) : decodeFloats(bytes, dtype);
}

/** Elements that differ in any byte. */
export function differingElements(a: Uint8Array, b: Uint8Array, dtype: Dtype): number {
  if (Buffer.compare(a, b) === 0) return 0;
  const width = DTYPE_BYTES[dtype];
  let count = 0;
  for (let at = 0; at < a.length; at += width) {
    let same = true;
    for (let i = at; i < at + width; i++) same &&= a[i] === b[i];
    if (!same) count++;
  }
  return count;
}
