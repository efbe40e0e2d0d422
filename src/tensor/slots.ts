/** Memory for the activations of programs that run one after the other: each program's slots, shared between them. */
import type { PooledBuffer } from "../gpu/buffer.ts";
import type { Gpu } from "../gpu/gpu.ts";

export class SlotPool {
  readonly #gpu: Gpu;
  readonly #buffers: PooledBuffer[] = [];

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
  }

  /** Bytes held. */
  get bytes(): number {
    return this.#buffers.reduce((sum, { buffer }) => sum + buffer.size, 0);
  }

  /** A buffer for every size (descending), no two alike; those of earlier programs are used again where they fit. */
  take(sizes: readonly number[]): GPUBuffer[] {
    const taken = new Set<PooledBuffer>();
    return sizes.map((bytes) => {
      const fits = this.#buffers
        .filter((held) => held.buffer.size >= bytes && !taken.has(held))
        .sort((a, b) => a.buffer.size - b.buffer.size)[0];
      const chosen = fits ?? this.#gpu.buffer(bytes, "activations");
      if (!fits) this.#buffers.push(chosen);
      taken.add(chosen);
      return chosen.buffer;
    });
  }

  free(): void {
    for (const held of this.#buffers.splice(0)) held.free();
  }
}
