/** A pool of storage buffers by size class: first touch of fresh memory is ten times slower than reuse. */
import { UserError } from "../errors.ts";
import type { Device } from "./device.ts";

const STORAGE = 0x80;
const COPY_SRC = 0x04;
const COPY_DST = 0x08;

/** Rounds up to a quarter of a power of two (at most 25 % waste), 256 bytes at least. */
export function sizeClass(bytes: number): number {
  if (bytes <= 256) return 256;
  const step = 2 ** Math.max(6, Math.floor(Math.log2(bytes - 1)) - 2);
  return Math.ceil(bytes / step) * step;
}

/** A buffer on loan. `using` gives it back at the end of the block. */
export interface PooledBuffer extends Disposable {
  readonly buffer: GPUBuffer;
  /** Bytes asked for; the buffer itself may be larger. */
  readonly bytes: number;
  free(): void;
}

/** Idle buffers of a size before one of them is mapped again: what the device still reads is not waited for. */
const RESTING = 3;

export class BufferPool {
  readonly #device: Device;
  /** What buffers are for besides storage and copies. */
  readonly #usage: number;
  /** Buffers of this pool are mapped by the host, so the one that was given back first is taken first. */
  readonly #mapped: boolean;
  readonly #idle = new Map<number, GPUBuffer[]>();
  #allocated = 0;
  #lent = 0;
  #peak = 0;

  constructor(device: Device, usage = 0) {
    this.#device = device;
    this.#usage = STORAGE | COPY_SRC | COPY_DST | usage;
    this.#mapped = usage !== 0;
  }

  /** Bytes held by the pool, on loan or idle, now and at most. */
  get allocated(): number {
    return this.#allocated;
  }
  get peak(): number {
    return this.#peak;
  }
  get lent(): number {
    return this.#lent;
  }

  /** Lends a buffer of at least `bytes`, of no more if it is to stay; its contents are undefined. */
  take(bytes: number, label: string, stays = false): PooledBuffer {
    const { maxBufferSize: most = Number.POSITIVE_INFINITY, maxStorageBufferBindingSize: binding = most } =
      this.#device.adapter.limits;
    if (bytes > most)
      throw new UserError(
        `${label}: ${bytes} bytes exceed this adapter's largest buffer (${most})`,
        "use smaller batches, or another adapter with --device; bun run doctor lists them",
        1,
      );
    // Rounding up must not pass a limit that what was asked for keeps: kernels bind the whole buffer.
    const largest = Math.floor((bytes <= binding ? binding : most) / 4) * 4;
    const rounded = stays ? Math.ceil(bytes / 256) * 256 : sizeClass(bytes);
    const size = Math.min(rounded, Math.max(largest, bytes));
    const buffer = this.#reused(size) ?? this.#create(size, label);
    this.#lent += size;
    let free = false;
    const giveBack = () => {
      if (free) return;
      free = true;
      this.#lent -= size;
      const idle = this.#idle.get(size);
      if (idle) idle.push(buffer);
      else this.#idle.set(size, [buffer]);
    };
    return { buffer, bytes, free: giveBack, [Symbol.dispose]: giveBack };
  }

  #reused(size: number): GPUBuffer | undefined {
    const idle = this.#idle.get(size);
    if (!this.#mapped) return idle?.pop();
    return idle && idle.length >= RESTING ? idle.shift() : undefined;
  }

  #create(size: number, label: string): GPUBuffer {
    this.#allocated += size;
    this.#peak = Math.max(this.#peak, this.#allocated);
    return this.#device.device.createBuffer({ label, size, usage: this.#usage });
  }

  /** Frees idle buffers, so that another size class can have their memory. */
  trim(): void {
    for (const [size, buffers] of this.#idle) {
      for (const buffer of buffers) {
        this.#allocated -= size;
        buffer.destroy();
      }
    }
    this.#idle.clear();
  }

  destroy(): void {
    this.trim();
  }
}
