/** Copies tensors to a writer in small pieces: no arithmetic, and little memory. */
import type { TensorEntry } from "../checkpoint.ts";
import type { Writer } from "./writer.ts";

/** Bytes that are copied at a time. */
const PIECE = 1 << 23;

/** Called with every piece before it is written. May throw, so as to stop. */
export type SeePiece = (tensor: TensorEntry, piece: Uint8Array) => void;

/** Writes all tensors of a writer, each read from the one of its name, in the writer's order. */
export async function copyTensors(writer: Writer, tensors: readonly TensorEntry[], see: SeePiece): Promise<void> {
  const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  for (const { name, bytes } of writer.tensors) {
    const tensor = byName.get(name);
    if (!tensor) throw new RangeError(`nothing is to be copied to ${name}`);
    for (let at = 0; at < bytes; at += PIECE) {
      const piece = new Uint8Array(Math.min(PIECE, bytes - at));
      await tensor.read(piece, at);
      see(tensor, piece);
      await writer.write(name, piece);
    }
  }
}
