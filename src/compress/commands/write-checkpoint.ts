/** Writes a checkpoint whose tensors are parts of another's, a piece at a time. */
import type { Checkpoint, LineageEntry } from "../../checkpoint/checkpoint.ts";
import type { OutputPlan } from "../../checkpoint/write/shards.ts";
import { createWriter } from "../../checkpoint/write/write.ts";
import type { WriteOptions } from "../../checkpoint/write/writer.ts";
import type { Context } from "../../cli/context.ts";
import type { Values } from "../../method/options.ts";
import type { WRITTEN } from "../options.ts";

/** Bytes that are read at a time. */
const PIECE = 16 << 20;

export const bytesOf = ({ tensors }: Pick<Checkpoint, "tensors">): number =>
  [...tensors.values()].reduce((sum, { bytes }) => sum + bytes, 0);

/** What options say of the files of a result. */
export function writtenAs({
  shards,
  gguf_type: ggufType,
  gguf_imatrix: ggufImatrix,
}: Pick<Values<typeof WRITTEN>, "shards" | "gguf_type" | "gguf_imatrix">): WriteOptions {
  return {
    ...(shards ? { shards } : {}),
    ...(ggufType ? { ggufType } : {}),
    ...(ggufImatrix ? { ggufImatrix } : {}),
  };
}

type Writing = Pick<Context<typeof WRITTEN>, "out" | "signal" | "warn" | "onExit" | "progress">;

/** Throws UserError for a target that cannot be written. */
export async function writeCheckpoint(
  { out, signal, progress, onExit, warn }: Writing,
  { tensors, files }: Pick<Checkpoint, "tensors" | "files">,
  lineage: readonly LineageEntry[],
  options: WriteOptions,
): Promise<void> {
  const plan: OutputPlan = { tensors: [...tensors.values()], files, lineage };
  const writer = await createWriter(out, plan, { ...options, warn, hub: { warn, progress } });
  onExit((ok) => (ok ? undefined : writer.abort()));
  try {
    for (const entry of tensors.values())
      for (let at = 0; at < Math.max(1, entry.bytes); at += PIECE) {
        signal.throwIfAborted();
        const bytes = new Uint8Array(Math.min(PIECE, entry.bytes - at));
        await entry.read(bytes, at);
        await writer.write(entry.name, bytes);
      }
    await writer.finish();
  } catch (error) {
    await writer.abort();
    throw error;
  }
}
