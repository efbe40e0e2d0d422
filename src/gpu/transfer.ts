/**
 * Staging memory in both directions. A file is read straight into mapped upload memory and a result is written to its
 * file straight from mapped read-back memory, so every byte is copied once on the host and once by the device.
 *
 * Both rings are bounded: who comes late waits, first come first served.
 */
import type { Device } from "./device.ts";

const MAP_READ = 0x01;
const MAP_WRITE = 0x02;
const COPY_SRC = 0x04;
const COPY_DST = 0x08;
const STORAGE = 0x80;
const READ = 1;
const WRITE = 2;

/** Sizes of the buffers: small transfers, and chunks of the lengths that are in use in 16- and 32-bit types. */
const SIZES = [64 << 10, 2 << 20, 4 << 20, 8 << 20, 16 << 20];
const PER_SIZE = 6;

const classOf = (bytes: number): number => SIZES.find((size) => size >= bytes) ?? Math.ceil(bytes / 4096) * 4096;

const limitOf = (size: number): number => (size > SIZES.at(-1)! ? 1 : PER_SIZE);

/** Staging memory that one direction takes at most for transfers of these many bytes, some of which may be equal. */
export function stagingBytes(transfers: Iterable<number>): number {
  const held = new Map<number, number>();
  for (const bytes of transfers) {
    const size = classOf(bytes);
    held.set(size, Math.min((held.get(size) ?? 0) + 1, limitOf(size)));
  }
  return [...held].reduce((sum, [size, count]) => sum + size * count, 0);
}

/** A bounded set of equal buffers with a queue of those who wait for one. */
class Ring {
  readonly #create: () => GPUBuffer;
  readonly #limit: number;
  readonly #idle: GPUBuffer[] = [];
  readonly #waiting: ((buffer: GPUBuffer) => void)[] = [];
  readonly all: GPUBuffer[] = [];

  constructor(limit: number, create: () => GPUBuffer) {
    this.#limit = limit;
    this.#create = create;
  }

  /** A buffer, if one is free now. */
  takeNow(): GPUBuffer | undefined {
    const idle = this.#idle.pop();
    if (idle || this.all.length >= this.#limit) return idle;
    const buffer = this.#create();
    this.all.push(buffer);
    return buffer;
  }

  async take(): Promise<GPUBuffer> {
    return this.takeNow() ?? new Promise((resolve) => this.#waiting.push(resolve));
  }

  give(buffer: GPUBuffer): void {
    const next = this.#waiting.shift();
    if (next) next(buffer);
    else this.#idle.push(buffer);
  }
}

class Staging {
  protected readonly device: Device;
  readonly #usage: number;
  readonly #label: string;
  readonly #rings = new Map<number, Ring>();

  constructor(device: Device, usage: number, label: string) {
    this.device = device;
    this.#usage = usage;
    this.#label = label;
  }

  protected ring(bytes: number): Ring {
    const size = classOf(bytes);
    let ring = this.#rings.get(size);
    if (!ring) {
      const descriptor = { label: this.#label, size, usage: this.#usage };
      ring = new Ring(limitOf(size), () => this.device.device.createBuffer(descriptor));
      this.#rings.set(size, ring);
    }
    return ring;
  }

  /** Bytes of staging memory held. */
  get allocated(): number {
    let bytes = 0;
    for (const ring of this.#rings.values()) for (const buffer of ring.all) bytes += buffer.size;
    return bytes;
  }

  destroy(): void {
    for (const ring of this.#rings.values()) {
      for (const buffer of ring.all) {
        buffer.destroy();
      }
    }
    this.#rings.clear();
  }
}

/** Mapped memory to fill; then copy it to its place with `gpu.copy(upload.buffer, ...)`, submit, and `free()`. */
export interface Upload {
  readonly buffer: GPUBuffer;
  /** As long as was asked for, rounded up to 16 bytes; the rounding bytes are zero. */
  readonly view: Uint8Array;
  /** Ends the mapping, so that copies from it may be submitted. */
  unmap(): void;
  /** Gives it back once its copies have run. Call after they are submitted. */
  free(): void;
}

export class Uploads extends Staging {
  constructor(device: Device) {
    super(device, MAP_WRITE | COPY_SRC, "upload");
  }

  async take(bytes: number): Promise<Upload> {
    const ring = this.ring(bytes);
    const buffer = await ring.take();
    const padded = Math.ceil(bytes / 16) * 16;
    try {
      await buffer.mapAsync(WRITE);
    } catch (error) {
      ring.give(buffer); // the next in line must not wait forever
      throw error;
    }
    const view = this.device.provider.mappedView(buffer).subarray(0, padded);
    view.fill(0, bytes);
    let mapped = true;
    const unmap = () => {
      if (mapped) buffer.unmap();
      mapped = false;
    };
    return {
      buffer,
      view,
      unmap,
      free: () => {
        unmap();
        ring.give(buffer);
      },
    };
  }
}

/** Where a copy from the device lands; `map` waits for it. */
export interface Readback {
  readonly buffer: GPUBuffer;
  /** Kernels may write it, so that no copy is needed. */
  readonly bindable: boolean;
  map(bytes: number): Promise<Uint8Array>;
  free(): void;
}

export class Readbacks extends Staging {
  readonly #bindable: boolean;

  /** `bindable`: the host maps what kernels wrote; the device must have that feature. */
  constructor(device: Device, bindable: boolean) {
    super(device, MAP_READ | COPY_DST | (bindable ? STORAGE | COPY_SRC : 0), "read-back");
    this.#bindable = bindable;
  }

  /** Staging memory for a copy of `bytes`, once there is some. */
  async take(bytes: number): Promise<Readback> {
    const ring = this.ring(bytes);
    return this.#lend(ring, await ring.take());
  }

  /** The same, or undefined when all of it is lent. */
  takeNow(bytes: number): Readback | undefined {
    const ring = this.ring(bytes);
    const buffer = ring.takeNow();
    return buffer && this.#lend(ring, buffer);
  }

  #lend(ring: Ring, buffer: GPUBuffer): Readback {
    let mapped = false;
    return {
      buffer,
      bindable: this.#bindable,
      map: async (count) => {
        await buffer.mapAsync(READ);
        mapped = true;
        return this.device.provider.mappedView(buffer).subarray(0, count);
      },
      free: () => {
        if (mapped) buffer.unmap();
        ring.give(buffer);
      },
    };
  }
}
