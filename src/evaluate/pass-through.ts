/** `--pass`: a pipe's checkpoint reaches the next command byte for byte, and is evaluated on the way. */
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { createWriter } from "../checkpoint/write/write.ts";
import { UserError } from "../errors.ts";
import { quote } from "../text/quote.ts";

/**
 * Copies the model to stdout as it is read, and keeps it in memory for the evaluation. Throws UserError for one with an
 * adapter.
 */
export async function passThrough(checkpoint: Checkpoint): Promise<Checkpoint> {
  const held = new Map<string, Uint8Array>();
  const tensors = [...checkpoint.tensors.values()];
  if (tensors.some(({ patch }) => patch))
    throw new UserError(
      "--pass copies a checkpoint as it is stored, which would lose the adapter",
      `merge it first: bun run merge ${quote(checkpoint.ref)} --method passthrough -o merged/`,
    );
  const writer = await createWriter("-", { tensors, files: checkpoint.files, lineage: checkpoint.lineage });
  for (const tensor of tensors) {
    const bytes = new Uint8Array(tensor.bytes);
    await tensor.read(bytes, 0);
    held.set(tensor.name, bytes);
    await writer.write(tensor.name, bytes);
  }
  await writer.finish();
  const entries = tensors.map((tensor) => {
    const read = async (into: Uint8Array, offset: number) =>
      into.set(held.get(tensor.name)!.subarray(offset, offset + into.length));
    return [tensor.name, { ...tensor, read }] as const;
  });
  return { ...checkpoint, tensors: new Map(entries) };
}
