/**
 * Tensors seen through a change: renamed, patched, cast, or with some values replaced. Nothing is read before it is
 * asked for.
 */

import type { Patch, TensorEntry } from "../checkpoint.ts";
import { decodeFloats } from "../decode.ts";
import { DTYPE_BYTES, type Dtype } from "../dtype.ts";
import { dtypeView } from "../dtype-view.ts";

/** The same bytes under another name or with a patch; `read` stays bound to the entry it came from. */
export function viewEntry(entry: TensorEntry, change: { name?: string; patch?: Patch }): TensorEntry {
  const { dtype, shape, bytes } = entry;
  const patch = change.patch ?? entry.patch;
  const view = { name: change.name ?? entry.name, dtype, shape, bytes };
  const read: TensorEntry["read"] = (into, offset) => entry.read(into, offset);
  if (patch !== undefined) return { ...view, read, patch };
  return { ...view, read, ...(entry.codes && { codes: entry.codes }) };
}

/** A float tensor in another float dtype, rounded to nearest even. */
export function castEntry(entry: TensorEntry, name: string, dtype: Dtype): TensorEntry {
  if (entry.dtype === dtype) return viewEntry(entry, { name });
  const bytes = (entry.bytes / DTYPE_BYTES[entry.dtype]) * DTYPE_BYTES[dtype];
  return {
    name,
    dtype,
    shape: entry.shape,
    bytes,
    read: dtypeView(dtype, (first, count) => readElements(entry, first, count)),
  };
}

/** A float tensor whose values go through `change`, which gets a stretch of them and the index of its first. */
export function mapEntry(entry: TensorEntry, change: (values: Float32Array, first: number) => void): TensorEntry {
  const { name, dtype, shape, bytes } = entry;
  const read = dtypeView(dtype, async (first, count) => {
    const values = await readElements(entry, first, count);
    change(values, first);
    return values;
  });
  return { name, dtype, shape, bytes, read };
}

/** A short float tensor whose values go through `change` all at once. */
export function mapWhole(entry: TensorEntry, change: (values: Float32Array) => void): TensorEntry {
  const { name, dtype, shape, bytes } = entry;
  const read = dtypeView(dtype, async (first, count) => {
    const values = await readElements(entry, 0, bytes / DTYPE_BYTES[dtype]);
    change(values);
    return values.subarray(first, first + count);
  });
  return { name, dtype, shape, bytes, read };
}

/** A tensor whose bytes are already here. */
export function heldEntry(entry: TensorEntry, held: Uint8Array): TensorEntry {
  const { name, dtype, shape, bytes } = entry;
  return {
    name,
    dtype,
    shape,
    bytes,
    read: async (into, offset) => into.set(held.subarray(offset, offset + into.byteLength)),
  };
}

async function readElements(entry: TensorEntry, first: number, count: number): Promise<Float32Array> {
  const width = DTYPE_BYTES[entry.dtype];
  const bytes = new Uint8Array(count * width);
  await entry.read(bytes, first * width);
  return decodeFloats(bytes, entry.dtype);
}
