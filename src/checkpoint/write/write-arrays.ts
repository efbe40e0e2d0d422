/** A file of a few tensors that are at hand: not a model's, so without files beside it. */
import type { LineageEntry } from "../checkpoint.ts";
import { createWriter } from "./write.ts";

export interface NamedArray {
  readonly name: string;
  readonly shape: readonly number[];
  /** Stored as F32, I32 or U8. */
  readonly values: Float32Array | Int32Array | Uint8Array;
}

const dtypeOf = (values: NamedArray["values"]): "F32" | "I32" | "U8" =>
  values instanceof Float32Array ? "F32" : values instanceof Int32Array ? "I32" : "U8";

/** Writes them, whole or not at all; gives the bytes. Throws what writing throws. */
export async function writeArrays(
  out: string,
  arrays: readonly NamedArray[],
  lineage: readonly LineageEntry[] = [],
): Promise<number> {
  const tensors = arrays.map(({ name, shape, values }) => ({
    ...{ name, shape: [...shape], dtype: dtypeOf(values), bytes: values.byteLength },
  }));
  const writer = await createWriter(out, { tensors, files: new Map(), lineage });
  try {
    for (const { name, values } of arrays)
      await writer.write(name, new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
    await writer.finish();
  } catch (error) {
    await writer.abort();
    throw error;
  }
  return writer.bytes;
}
