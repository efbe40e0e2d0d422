/**
 * Memory that the host and kernels both see. A software driver's memory is the host's, so a file is read to where a
 * kernel binds it, without staging memory and a copy by the device in between.
 */
import { BufferPool, type PooledBuffer } from "./buffer.ts";
import { type Device, SHARED_MEMORY } from "./device.ts";

const MAP_WRITE = 0x02;
const WRITE = 2;

/** True where the device's memory is the host's, and its buffers may be bound and mapped. */
export const sharesMemory = ({ adapter, device }: Device): boolean =>
  adapter.type === "cpu" && device.features.has(SHARED_MEMORY);

export class SharedMemory {
  readonly #device: Device;
  readonly #submit: () => void;
  readonly #pool: BufferPool;

  /** `submit` submits what is recorded: nothing that is may need a buffer that is mapped. */
  constructor(device: Device, submit: () => void) {
    this.#device = device;
    this.#submit = submit;
    this.#pool = new BufferPool(device, MAP_WRITE);
  }

  /**
   * A pooled storage buffer of at least `bytes` that `write` fills in place; what it does not fill is undefined. Throws
   * what `write` throws, and where the device is lost.
   */
  async fill(bytes: number, label: string, write: (view: Uint8Array) => Promise<void>): Promise<PooledBuffer> {
    const lent = this.#pool.take(bytes, label);
    this.#submit();
    try {
      await lent.buffer.mapAsync(WRITE);
      try {
        await write(this.#device.provider.mappedView(lent.buffer));
      } finally {
        lent.buffer.unmap();
      }
    } catch (error) {
      lent.free();
      throw error;
    }
    return lent;
  }

  destroy(): void {
    this.#pool.destroy();
  }
}
