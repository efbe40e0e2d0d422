/** Memory for decoding, which programs share. */
import type { PooledBuffer } from "../gpu/buffer.ts";
import type { Gpu } from "../gpu/gpu.ts";

/** The buffers behind a cache; they outlive the recordings that use them. */
export class CacheMemory {
  readonly batch: number;
  readonly capacity: number;
  readonly #layers = new Map<number, { keys: PooledBuffer; values: PooledBuffer }>();
  readonly #kept = new Map<string, PooledBuffer>();
  /** Bytes of a row, by label. */
  readonly #rowBytes = new Map<string, number>();
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
    this.#rowBytes.set(label, (4 * values) / this.batch);
    return gpu.buffer(bytes, label);
  }

  /**
   * Records that the only row goes into a row of another memory. That one has as many positions, and layers that a
   * program has asked for. Throws RangeError.
   */
  place(gpu: Gpu, into: CacheMemory, row: number): void {
    if (into.capacity !== this.capacity || this.batch !== 1 || row >= into.batch)
      throw new RangeError(`${this.batch} rows of ${this.capacity} do not go to row ${row} of ${into.capacity}`);
    for (const [label, from] of this.#held()) {
      const to = into.#held().get(label);
      if (!to) throw new RangeError(`the cache has no ${label}`);
      const bytes = this.#rowBytes.get(label)!;
      gpu.copy(from.buffer, 0, to.buffer, row * bytes, bytes);
    }
  }

  /**
   * Records that every row goes into `group` rows of another memory, one after the other. That one has as many
   * positions, `group` times the rows, and layers that a program has asked for. Throws RangeError.
   */
  spread(gpu: Gpu, into: CacheMemory, group: number): void {
    if (into.capacity !== this.capacity || into.batch !== group * this.batch)
      throw new RangeError(
        `a cache of ${this.batch} rows of ${this.capacity} does not spread to ${into.batch} of ${into.capacity}`,
      );
    for (const [label, from] of this.#held()) {
      const to = into.#held().get(label);
      if (!to) throw new RangeError(`the cache has no ${label}`);
      const bytes = this.#rowBytes.get(label)!;
      for (let row = 0; row < into.batch; row++)
        gpu.copy(from.buffer, Math.floor(row / group) * bytes, to.buffer, row * bytes, bytes);
    }
  }

  /** All buffers by label. */
  #held(): Map<string, PooledBuffer> {
    const layers = [...this.#layers].flatMap(([index, { keys, values }]): [string, PooledBuffer][] => [
      [`keys.${index}`, keys],
      [`values.${index}`, values],
    ]);
    return new Map([...layers, ...this.#kept]);
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
