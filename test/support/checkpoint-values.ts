/** What a checkpoint holds, for tests that compare two of them. */
import { decodeFloats } from "../../src/checkpoint/decode.ts";
import { openPlain } from "../../src/checkpoint/open.ts";

/** Shape and values of every tensor, by name. */
export async function valuesOf(
  file: string,
): Promise<Map<string, { readonly shape: readonly number[]; readonly values: Float32Array }>> {
  const opened = await openPlain(file);
  const found = new Map<string, { shape: readonly number[]; values: Float32Array }>();
  for (const [name, entry] of opened.tensors) {
    const bytes = new Uint8Array(entry.bytes);
    await entry.read(bytes, 0);
    found.set(name, { shape: entry.shape, values: decodeFloats(bytes, entry.dtype) });
  }
  opened.close();
  return found;
}

/** Values of every tensor, by name. */
export const tensorsOf = async (file: string): Promise<Map<string, Float32Array>> =>
  new Map([...(await valuesOf(file))].map(([name, { values }]) => [name, values]));

/** The values' bytes of a safetensors file, without its header, which tells where it comes from. */
export const dataOf = (bytes: Buffer): Buffer => bytes.subarray(8 + Number(bytes.readBigUInt64LE(0)));
