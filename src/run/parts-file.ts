/**
 * Small trained parts beside a model, such as exits and routers, in a file of their own: parameters and what is fixed.
 */
import { mergeOnCpu } from "../checkpoint/adapter/adapter.ts";
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { UserError } from "../errors.ts";

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
