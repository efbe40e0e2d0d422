/** Buffers and their mapped memory. */
import { type Pointer, toArrayBuffer } from "bun:ffi";
import type { Context, Native } from "./context.ts";
import { SUCCESS } from "./events.ts";
import { handle } from "./library.ts";
import { own } from "./own.ts";
import { BUFFER_DESCRIPTOR } from "./structs.ts";

const MAP_READ = 0x01;

export class DawnBuffer implements GPUBuffer, Native {
  declare readonly __brand: "GPUBuffer";
  readonly #context: Context;
  readonly handle: Pointer;
  readonly label: string;
  readonly size: number;
  readonly usage: number;
  mapState: GPUBufferMapState;
  /** Ranges that were handed out since the buffer was mapped. */
  #ranges: ArrayBuffer[] = [];
  #whole: { readonly at: number; readonly view: Uint8Array } | undefined;

  constructor(context: Context, device: Pointer, descriptor: GPUBufferDescriptor) {
    const { label = "", size, usage, mappedAtCreation = false } = descriptor;
    this.#context = context;
    this.label = label;
    this.size = size;
    this.usage = usage;
    this.mapState = mappedAtCreation ? "mapped" : "unmapped";
    const { library, arena } = context;
    this.handle = arena.frame(() => {
      const packed = arena.pack(BUFFER_DESCRIPTOR, { label, size, usage, mappedAtCreation: Number(mappedAtCreation) });
      return handle(library.zwgpuDeviceCreateBuffer(device, packed), "buffer");
    });
    own(this, this.handle, library.zwgpuBufferRelease);
  }

  async mapAsync(mode: number, offset = 0, size = this.size - offset): Promise<undefined> {
    const before = this.mapState;
    this.mapState = "pending";
    const { events, library } = this.#context;
    const { status, message } = await events.ask(
      "map",
      (info) => library.zwgpuBufferMapAsync(this.handle, mode, offset, size, info),
      this,
    );
    if (status === SUCCESS) {
      this.mapState = "mapped";
      return;
    }
    if (this.mapState === "pending") this.mapState = before;
    throw new DOMException(`Mapping ${this.label || "a buffer"} failed: ${message}`, "OperationError");
  }

  #address(offset: number, size: number): Pointer {
    const { library } = this.#context;
    const at =
      this.usage & MAP_READ
        ? library.zwgpuBufferGetConstMappedRange(this.handle, offset, size)
        : library.zwgpuBufferGetMappedRange(this.handle, offset, size);
    if (!at) throw new DOMException(`${this.label || "A buffer"} is not mapped there`, "OperationError");
    return at as Pointer;
  }

  getMappedRange(offset = 0, size = this.size - offset): ArrayBuffer {
    const range = toArrayBuffer(this.#address(offset, size), 0, size);
    this.#ranges.push(range);
    return range;
  }

  /**
   * The mapped memory of the whole buffer, not to be used after `unmap`. Memory that is mapped at the same address
   * again is seen through the same view: detaching a new one each time, as the standard does, takes a tenth of a merge.
   */
  mappedView(): Uint8Array {
    const at = this.#address(0, this.size);
    if (this.#whole?.at !== at) this.#whole = { at, view: new Uint8Array(toArrayBuffer(at, 0, this.size)) };
    return this.#whole.view;
  }

  #detach(): void {
    for (const range of this.#ranges) structuredClone(range, { transfer: [range] });
    this.#ranges = [];
  }

  unmap(): undefined {
    this.#detach();
    this.#context.library.zwgpuBufferUnmap(this.handle);
    this.mapState = "unmapped";
  }

  destroy(): undefined {
    this.#detach();
    this.#context.library.zwgpuBufferDestroy(this.handle);
    this.mapState = "unmapped";
  }
}
