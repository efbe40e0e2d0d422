/** Writes small trained parts beside a model, such as exits and routers, into a file of their own (parts-file.ts). */
import type { LineageEntry } from "../checkpoint/checkpoint.ts";
import { createWriter } from "../checkpoint/write/write.ts";
import type { Gpu } from "../gpu/gpu.ts";
import type { Parameter } from "../tensor/parameter.ts";
import { sizeOf } from "../tensor/tensor.ts";

/** Numbers that are fixed, by name. */
export type Fixed = Readonly<Record<string, readonly number[]>>;

/** Writes parameters and numbers, f32 all, under names that begin with `kind`; gives the bytes. */
export async function writeParts(
  gpu: Gpu,
  kind: string,
  parts: {
    readonly parameters: readonly Pick<Parameter, "name" | "shape" | "buffer" | "size">[];
    readonly fixed: Fixed;
  },
  { out, lineage }: { readonly out: string; readonly lineage: readonly LineageEntry[] },
): Promise<number> {
  const { parameters, fixed } = parts;
  const known = Object.entries(fixed).map(([name, values]) => ({ name, values: Float32Array.from(values) }));
  const tensors = [
    ...known.map(({ name, values }) => ({ name: `${kind}.${name}`, shape: [values.length] })),
    ...parameters.map(({ name, shape }) => ({ name: `${kind}.${name}`, shape })),
  ].map((tensor) => ({ ...tensor, dtype: "F32" as const, bytes: 4 * sizeOf(tensor.shape) }));
  const writer = await createWriter(out, { tensors, files: new Map(), lineage });
  const write = (name: string, { buffer, byteOffset, byteLength }: Float32Array) =>
    writer.write(`${kind}.${name}`, new Uint8Array(buffer, byteOffset, byteLength));
  try {
    for (const { name, values } of known) await write(name, values);
    for (const { name, buffer, size } of parameters) await write(name, await gpu.readFloats(buffer, size));
    await writer.finish();
  } catch (error) {
    await writer.abort();
    throw error;
  }
  return writer.bytes;
}
