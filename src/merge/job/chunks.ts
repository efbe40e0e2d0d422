/**
 * The inputs of a tensor in chunks on the device, read when visited.
 *
 * A chunk is a *stack*: slot 0 holds the base (when there is one), the following slots the models, each `pitch` vectors
 * of four apart, padded with zeros. Any number of models fits one binding, and a kernel sees them all. Chunks of a
 * tensor stay on the device when its method looks at them more than once and they fit; otherwise they are loaded again
 * for each pass.
 */
import type { TensorEntry } from "../../checkpoint/checkpoint.ts";
import { DTYPE_BYTES } from "../../checkpoint/dtype.ts";
import type { PooledBuffer } from "../../gpu/buffer.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { loadStack, paddedBytes } from "../../tensor/load.ts";
import { type Layout, type Range, rangeOf } from "./chunk-sizes.ts";

/** Part of a tensor on the device. */
export interface Chunk extends Range {
  readonly index: number;
  /** Vectors of four values, the last one padded with zeros. */
  readonly n4: number;
  /** Vectors of four from one slot to the next. */
  readonly pitch: number;
  readonly stack: GPUBuffer;
}

export class Chunks {
  readonly #gpu: Gpu;
  readonly #entries: readonly TensorEntry[];
  readonly #layout: Layout;
  readonly #loaded = new Map<number, Promise<PooledBuffer>>();
  /** Passes that hold a chunk at the moment: the last one frees it. */
  readonly #visitors = new Map<number, number>();

  constructor(gpu: Gpu, entries: readonly TensorEntry[], layout: Layout) {
    this.#gpu = gpu;
    this.#entries = entries;
    this.#layout = layout;
  }

  #load(index: number): Promise<PooledBuffer> {
    const label = `${this.#entries[0]!.name} inputs`;
    return loadStack(this.#gpu, this.#entries, rangeOf(this.#layout, index), this.#layout.dtype, label);
  }

  #chunk(index: number): Promise<PooledBuffer> {
    let loaded = this.#loaded.get(index);
    if (!loaded) {
      loaded = this.#load(index);
      loaded.catch(() => {}); // reported by whoever awaits it
      this.#loaded.set(index, loaded);
    }
    return loaded;
  }

  /** Starts reading the first chunk, or all that will stay. */
  prefetch(): void {
    const { chunkCount, resident } = this.#layout;
    for (let index = 0; index < Math.min(chunkCount, resident ? chunkCount : 1); index++) this.#chunk(index);
  }

  /** Visits one chunk. What `visit` records runs before the chunk's memory is used again. */
  async visit(index: number, visit: (chunk: Chunk) => void | Promise<void>): Promise<void> {
    this.#visitors.set(index, (this.#visitors.get(index) ?? 0) + 1);
    const loaded = await this.#chunk(index);
    const { start, length } = rangeOf(this.#layout, index);
    const { dtype, resident } = this.#layout;
    const pitch = paddedBytes(length, dtype) / (4 * DTYPE_BYTES[dtype]);
    await visit({ index, start, length, n4: Math.ceil(length / 4), pitch, stack: loaded.buffer });
    const others = this.#visitors.get(index)! - 1;
    this.#visitors.set(index, others);
    if (resident || others > 0) return;
    this.#loaded.delete(index);
    loaded.free();
  }

  /** One pass over the chunks, in order; the next one is read while one is visited. */
  async each(visit: (chunk: Chunk) => void | Promise<void>): Promise<void> {
    const { chunkCount } = this.#layout;
    for (let index = 0; index < chunkCount; index++) {
      await this.visit(index, async (chunk) => {
        if (index + 1 < chunkCount) this.#chunk(index + 1);
        await visit(chunk);
      });
    }
  }

  /** Gives everything back. */
  async close(): Promise<void> {
    const left = [...this.#loaded.values()];
    this.#loaded.clear();
    for (const loaded of await Promise.allSettled(left)) if (loaded.status === "fulfilled") loaded.value.free();
  }
}
