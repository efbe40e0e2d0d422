/** Writes small trained parts beside a model, such as exits and routers, into a file of their own (parts-file.ts). */
import type { LineageEntry } from "../checkpoint/checkpoint.ts";
import { type NamedArray, writeArrays } from "../checkpoint/write/write-arrays.ts";
import type { Gpu } from "../gpu/gpu.ts";
import type { Parameter } from "../tensor/parameter.ts";

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
  const known = Object.entries(fixed).map(([name, numbers]) => {
    const values = Float32Array.from(numbers);
    return { name: `${kind}.${name}`, shape: [values.length], values };
  });
  const learnt: NamedArray[] = [];
  for (const { name, shape, buffer, size } of parameters)
    learnt.push({ name: `${kind}.${name}`, shape, values: await gpu.readFloats(buffer, size) });
  return writeArrays(out, [...known, ...learnt], lineage);
}
