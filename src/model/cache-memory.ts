/** Memory for decoding, which programs share. */
import type { PooledBuffer } from "../gpu/buffer.ts";
import type { Gpu } from "../gpu/gpu.ts";

/** The buffers behind a cache; they outlive the recordings that use them. */
export class CacheMemory {
  readonly batch: number;
  readonly capacity: number;
  readonly #layers = new Map<number, { keys: PooledBuffer; values: PooledBuffer }>();
  readonly #kept = new Map<string, PooledBuffer>();
  #bytes = 0;

  constructor(batch: number, capacity: number) {
    this.batch = batch;
    this.capacity = capacity;
  }

  /** `values` are those of a row. */
  layer(gpu: Gpu, index: number, values: number): { keys: GPUBuffer; values: GPUBuffer } {
    let found = this.#layers.get(index);
    if (!found) {
      const size = this.batch * values;
      found = { keys: this.#buffer(gpu, `keys.${index}`, size), values: this.#buffer(gpu, `values.${index}`, size) };
      this.#layers.set(index, found);
    }
    return { keys: found.keys.buffer, values: found.values.buffer };
  }

  kept(gpu: Gpu, name: string, values: number): GPUBuffer {
    const found = this.#kept.get(name) ?? this.#buffer(gpu, name, values);
    this.#kept.set(name, found);
    return found.buffer;
  }

  #buffer(gpu: Gpu, label: string, values: number): PooledBuffer {
    const bytes = Math.max(16, 4 * values);
    this.#bytes += bytes;
    return gpu.buffer(bytes, label);
  }

  /** Bytes of all layers that were asked for. */
  get bytes(): number {
    return this.#bytes;
  }

  free(): void {
    for (const held of this.#kept.values()) held.free();
    this.#kept.clear();
    for (const { keys, values } of this.#layers.values()) {
      keys.free();
      values.free();
    }
    this.#layers.clear();
    this.#bytes = 0;
  }
}
