/** Reading of tensors whose values are computed: any range of bytes from a function that gives whole elements. */

import type { TensorEntry } from "./checkpoint.ts";
import { encodeFloats } from "./decode.ts";
import { DTYPE_BYTES, type Dtype } from "./dtype.ts";

/** Elements converted at a time; bounds the extra memory of a read to a few MB whatever is asked for. */
const CHUNK = 1 << 18;

/** `produce` gives `count` elements from `first` on; they are written as `dtype`. */
export function dtypeView(
  dtype: Dtype,
  produce: (first: number, count: number) => Promise<Float32Array>,
): TensorEntry["read"] {
  const width = DTYPE_BYTES[dtype];
  return async (into, offset) => {
    const end = offset + into.byteLength;
    for (let at = offset; at < end; ) {
      const first = Math.floor(at / width);
      const last = Math.min(Math.ceil(end / width), first + CHUNK);
      const bytes = encodeFloats(await produce(first, last - first), dtype);
      const stop = Math.min(end, last * width);
      into.set(bytes.subarray(at - first * width, stop - first * width), at - offset);
      at = stop;
    }
  };
}
