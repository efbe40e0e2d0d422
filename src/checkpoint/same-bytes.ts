/** Whether two stored tensors are one. */
import type { TensorEntry } from "./checkpoint.ts";

const PIECE = 2 ** 22;

/** Whether two tensors hold the same bytes. Reads a piece at a time. */
export async function sameBytes(one: TensorEntry, other: TensorEntry): Promise<boolean> {
  if (one.dtype !== other.dtype || one.shape.join() !== other.shape.join()) return false;
  for (let at = 0; at < one.bytes; at += PIECE) {
    const length = Math.min(PIECE, one.bytes - at);
    const [a, b] = [new Uint8Array(length), new Uint8Array(length)];
    await Promise.all([one.read(a, at), other.read(b, at)]);
    if (!Buffer.from(a.buffer).equals(b)) return false;
  }
  return true;
}
