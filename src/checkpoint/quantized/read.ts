/** Ranges of stored tensors as numbers. */
import { show } from "../../json.ts";
import type { TensorEntry } from "../checkpoint.ts";
import { decodeFloats } from "../decode.ts";
import { DTYPE_BYTES } from "../dtype.ts";
import type { Stored } from "./contract.ts";

/** `count` bytes from `first` on. */
export async function readBytes(entry: TensorEntry, first: number, count: number): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(count);
  await entry.read(bytes, first);
  return bytes;
}

/** `count` words of 32 bits from word `first` on. */
export async function readWords(entry: TensorEntry, first: number, count: number): Promise<Uint32Array<ArrayBuffer>> {
  return new Uint32Array((await readBytes(entry, 4 * first, 4 * count)).buffer);
}

/** `count` floats from `first` on, as f32. */
export async function readFloats(entry: TensorEntry, first: number, count: number): Promise<Float32Array> {
  const width = DTYPE_BYTES[entry.dtype];
  return decodeFloats(await readBytes(entry, width * first, width * count), entry.dtype);
}

/** Scales: floats that are expected to be finite. What is not is told by name, once. */
export async function readScales(
  stored: Stored,
  entry: TensorEntry,
  first: number,
  count: number,
): Promise<Float32Array> {
  return toldScales(stored, entry, await readFloats(entry, first, count));
}

/** The values; a message by name, once, if some are not finite. */
export function toldScales(stored: Stored, { name }: TensorEntry, values: Float32Array): Float32Array {
  for (const value of values) {
    if (Number.isFinite(value)) continue;
    stored.warn(`${stored.ref}: ${show(name)} holds a scale that is not finite (${value}), and so are its weights`);
    break;
  }
  return values;
}
