/** Small networks as one file of tensors, in f64. */
import type { Checkpoint, LineageEntry } from "../../checkpoint/checkpoint.ts";
import { openPlain } from "../../checkpoint/open.ts";
import { createWriter } from "../../checkpoint/write/write.ts";
import { UserError } from "../../errors.ts";
import type { NamedTensor } from "./mlp.ts";

/** Throws UserError where the result would be no file of tensors. */
export function checkFile(out: string): void {
  if (out !== "-" && !out.endsWith(".safetensors"))
    throw new UserError(`--out ${out}: the networks are one file of tensors`, "name it NAME.safetensors");
}

/** What a file of small networks holds; the checkpoint is closed, for lineage. */
export interface NetworksFile {
  readonly checkpoint: Checkpoint;
  readonly tensors: ReadonlyMap<string, NamedTensor>;
}

/** Reads a file that has the tensor `wanted`. Throws UserError of `what` and `hint` where it holds something else. */
export async function readNetworks(
  ref: string,
  { wanted, what, hint }: { readonly wanted: string; readonly what: string; readonly hint: string },
): Promise<NetworksFile> {
  const checkpoint = await openPlain(ref);
  try {
    const entries = [...checkpoint.tensors.values()];
    if (!checkpoint.tensors.has(wanted) || entries.some(({ dtype }) => dtype !== "F64"))
      throw new UserError(`${ref} holds no ${what}`, hint);
    const tensors = new Map<string, NamedTensor>();
    for (const { name, shape, bytes, read } of entries) {
      const values = new Float64Array(bytes / Float64Array.BYTES_PER_ELEMENT);
      await read(new Uint8Array(values.buffer), 0);
      tensors.set(name, { name, shape, values });
    }
    return { checkpoint, tensors };
  } finally {
    checkpoint.close();
  }
}

export async function saveNetworks(
  out: string,
  tensors: readonly NamedTensor[],
  lineage: readonly LineageEntry[],
): Promise<void> {
  const infos = tensors.map(({ name, shape, values }) => ({
    name,
    shape,
    dtype: "F64" as const,
    bytes: values.byteLength,
  }));
  const writer = await createWriter(out, { tensors: infos, files: new Map(), lineage: [...lineage] });
  try {
    for (const { name, values } of tensors)
      await writer.write(name, new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
    await writer.finish();
  } catch (error) {
    await writer.abort();
    throw error;
  }
}
