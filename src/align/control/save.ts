/** Writes small networks as one file of tensors, in f64. */
import type { LineageEntry } from "../../checkpoint/checkpoint.ts";
import { createWriter } from "../../checkpoint/write/write.ts";
import { UserError } from "../../errors.ts";
import type { NamedTensor } from "../../run/small-nets/mlp.ts";

/** Throws UserError where the result would be no file of tensors. */
export function checkFile(out: string): void {
  if (out !== "-" && !out.endsWith(".safetensors"))
    throw new UserError(`--out ${out}: the networks are one file of tensors`, "name it NAME.safetensors");
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
