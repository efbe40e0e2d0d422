/**
 * Host memory of a run that was planned on a device that computes nothing. The plan holds what the run holds on the
 * host: tokenizers, rows, recorded programs. So it is what this process took so far, and what only a run takes beside
 * it: the driver with its compiled kernels, and pieces of tensors on their way from and to files.
 */
import type { Gpu } from "../gpu/gpu.ts";
import { peakMemory } from "../peak-memory.ts";
import { humanBytes } from "../text/format.ts";

/** The driver with compiled kernels: 50 to 90 MB are seen with lavapipe. */
const DRIVER_BYTES = 80 << 20;

/** The most of a tensor that is on its way at a time. */
const PIECE_BYTES = 16 << 20;

/**
 * Pieces that are there together: in staging buffers, as they are stored and as f32, and those that the collector has
 * not yet taken. Of tensors that are larger than a piece 2 are seen while they are loaded, 4 to 9 while they are saved.
 */
const PIECES = { loads: 3, saves: 7 };

/**
 * Bytes. `largest` is the number of values of the largest tensor that is on its way, `more` are bytes that the run will
 * hold beside them. A software driver keeps the GPU's memory on the host too: that comes on top.
 */
export function hostMemory(gpu: Gpu, largest: number, way: keyof typeof PIECES, more = 0): number {
  // Of a plan that was made on a real device.
  const planned = gpu.dry || gpu.adapter.type !== "cpu" ? 0 : gpu.pool.peak;
  return peakMemory() - planned + DRIVER_BYTES + PIECES[way] * Math.min(4 * largest, PIECE_BYTES) + more;
}

export const hostMemoryText = (bytes: number): string =>
  `about ${humanBytes(bytes)}; a software driver's GPU memory comes on top`;
