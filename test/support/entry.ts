/** Tensors of a checkpoint that lie in memory. */
import type { LowRankPatch, TensorEntry } from "../../src/checkpoint/checkpoint.ts";
import { encodeFloats } from "../../src/checkpoint/decode.ts";
import type { Dtype } from "../../src/checkpoint/dtype.ts";

/** A tensor of these values, rounded to `dtype`. */
export function entryOf(
  name: string,
  dtype: Dtype,
  shape: readonly number[],
  values: Float32Array,
  patch?: LowRankPatch,
): TensorEntry {
  const data = encodeFloats(values, dtype);
  return {
    name,
    dtype,
    shape,
    bytes: data.byteLength,
    async read(into, offset) {
      if (offset < 0 || offset + into.byteLength > data.byteLength) throw new RangeError(`${name}: read past the end`);
      into.set(data.subarray(offset, offset + into.byteLength));
    },
    ...(patch ? { patch } : {}),
  };
}
