/**
 * Tensors that stay on the device, so that work which reads them again and again (a search over merges) reads their
 * files once. `loadRange` finds them by their entry.
 */
import type { TensorEntry } from "../checkpoint/checkpoint.ts";
import type { PooledBuffer } from "../gpu/buffer.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { isOperand, loadRange, type OperandDtype, paddedBytes } from "./load.ts";
import { sizeOf } from "./tensor.ts";

/** Values that are on their way at a time; a multiple of what every type needs to begin at 256 bytes. */
const PIECE = 4 << 20;

/** The type in which a tensor stays: its own where kernels read it, else f32, which holds it exactly or as loaded. */
export const residentDtype = ({ dtype }: Pick<TensorEntry, "dtype">): OperandDtype =>
  isOperand(dtype) ? dtype : "F32";

/** Device bytes of a tensor that stays. */
export const residentBytes = (entry: Pick<TensorEntry, "dtype" | "shape">): number =>
  paddedBytes(sizeOf(entry.shape), residentDtype(entry));

/**
 * Loads a tensor of floats, with its adapter's change applied, and keeps it on the device until the buffer is freed.
 * Memory beside it: a piece of 4 M values; the whole tensor where an adapter needs whole rows.
 */
export async function keepResident(gpu: Gpu, entry: TensorEntry): Promise<PooledBuffer> {
  const dtype = residentDtype(entry);
  const size = sizeOf(entry.shape);
  const held = gpu.buffer(Math.max(256, residentBytes(entry)), `${entry.name} (kept)`);
  const piece = entry.patch ? Math.max(1, size) : PIECE;
  try {
    for (let start = 0; start < size && !gpu.dry; start += piece) {
      const length = Math.min(piece, size - start);
      using part = gpu.buffer(paddedBytes(length, dtype), `${entry.name} (on its way)`);
      await loadRange(gpu, entry, start, length, dtype, part.buffer, 0);
      const width = dtype === "F32" ? 4 : 2;
      gpu.copy(part.buffer, 0, held.buffer, start * width, Math.ceil(length / 4) * 4 * width);
    }
    gpu.residents.set(entry, { buffer: held.buffer, dtype });
    return held;
  } catch (error) {
    held.free();
    throw error;
  }
}

/** Gives back a tensor that stays. */
export function dropResident(gpu: Gpu, entry: TensorEntry, held: PooledBuffer): void {
  gpu.residents.delete(entry);
  held.free();
}
