/** Tensors of a small safetensors file as arrays. */
import { decodeFloats } from "../../../src/checkpoint/decode.ts";
import { openPlain } from "../../../src/checkpoint/open.ts";

export interface StoredValues {
  readonly shape: readonly number[];
  /** Floats as f32, whole numbers as I32. */
  readonly data: Float32Array | Int32Array;
}

/** Whole numbers; undefined of other types. */
function integers(bytes: Uint8Array<ArrayBuffer>, dtype: string): Int32Array | undefined {
  if (dtype === "I32") return new Int32Array(bytes.buffer);
  if (dtype === "U8") return Int32Array.from(bytes);
  return dtype === "I8" ? Int32Array.from(new Int8Array(bytes.buffer)) : undefined;
}

/** The tensors of a file by name. */
export async function readTensors(file: string): Promise<Map<string, StoredValues>> {
  const opened = await openPlain(file);
  const found = new Map<string, StoredValues>();
  for (const entry of opened.tensors.values()) {
    const bytes = new Uint8Array(entry.bytes);
    await entry.read(bytes, 0);
    const data = integers(bytes, entry.dtype) ?? decodeFloats(bytes, entry.dtype);
    found.set(entry.name, { shape: entry.shape, data });
  }
  opened.close();
  return found;
}

/** The largest magnitude. */
export const largest = (values: ArrayLike<number>): number =>
  Array.from(values).reduce((most, value) => Math.max(most, Math.abs(value)), 0);

/**
 * The largest difference, as a share of the largest magnitude that is expected; infinite where a value is not a number.
 */
export function relativeError(found: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (found.length !== expected.length) return Number.POSITIVE_INFINITY;
  let worst = 0;
  for (let i = 0; i < expected.length; i++) {
    const apart = Math.abs(found[i]! - expected[i]!);
    if (!(apart <= worst)) worst = Number.isNaN(apart) ? Number.POSITIVE_INFINITY : apart;
  }
  const scale = largest(expected);
  return scale > 0 ? worst / scale : worst;
}
