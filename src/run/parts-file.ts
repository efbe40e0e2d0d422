/**
 * Small trained parts beside a model, such as exits and routers, in a file of their own: parameters and what is fixed.
 */
import { mergeOnCpu } from "../checkpoint/adapter/adapter.ts";
import type { Checkpoint, LineageEntry } from "../checkpoint/checkpoint.ts";
import { createWriter } from "../checkpoint/write/write.ts";
import { UserError } from "../errors.ts";
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

/** What a file of parts holds. */
export interface StoredParts {
  readonly ref: string;
  /** Values by name, without the kind. */
  readonly values: ReadonlyMap<string, Float32Array>;
  readonly shapes: ReadonlyMap<string, readonly number[]>;
  /** Numbers of a name. Throws UserError where there are none. */
  fixed(name: string): number[];
}

/** Reads a file of parts. Throws UserError where it holds none of the kind; `made` says what writes some. */
export async function readParts({ ref, tensors }: Checkpoint, kind: string, made: string): Promise<StoredParts> {
  const values = new Map<string, Float32Array>();
  const shapes = new Map<string, readonly number[]>();
  for (const [name, entry] of tensors) {
    if (!name.startsWith(`${kind}.`) || entry.dtype !== "F32")
      throw new UserError(`${ref} holds no ${kind}: it has ${name}`, `name a file that ${made} wrote`);
    values.set(name.slice(kind.length + 1), await mergeOnCpu(entry));
    shapes.set(name.slice(kind.length + 1), entry.shape);
  }
  return {
    ...{ ref, values, shapes },
    fixed(name) {
      const found = values.get(name);
      if (!found || found.some((value) => !Number.isFinite(value)))
        throw new UserError(`${ref} does not say the ${name} of its ${kind}`, `name a file that ${made} wrote`);
      return Array.from(found);
    },
  };
}

/** Throws UserError unless every parameter has its values, of its size. */
export function expectParts(
  { ref, values }: StoredParts,
  kind: string,
  wanted: Iterable<readonly [name: string, size: number]>,
): void {
  for (const [name, size] of wanted) {
    const found = values.get(name)?.length ?? 0;
    if (found !== size) throw new UserError(`${ref}: ${kind}.${name} has ${found} values, not ${size}`, "make it anew");
  }
}
