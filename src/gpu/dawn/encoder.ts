/** Recording of commands, and the queue that runs them. */
import type { Pointer } from "bun:ffi";
import { type Context, handleOf, type Native, takeHandle } from "./context.ts";
import { handle } from "./library.ts";
import { own } from "./own.ts";
import { COMPUTE_PASS_DESCRIPTOR, LABEL_DESCRIPTOR, TIMESTAMP_WRITES } from "./structs.ts";

/** WGPU_QUERY_SET_INDEX_UNDEFINED: no timestamp there. */
const NO_INDEX = 0xffffffff;

/** What is implemented of the standard's interfaces: all that computes, nothing that draws. */
type ComputePass = Pick<GPUComputePassEncoder, "setPipeline" | "setBindGroup" | "dispatchWorkgroups" | "end">;
type CommandEncoder = Pick<
  GPUCommandEncoder,
  "beginComputePass" | "copyBufferToBuffer" | "clearBuffer" | "resolveQuerySet" | "finish"
>;
type Queue = Pick<GPUQueue, "submit" | "writeBuffer">;

class DawnComputePass implements ComputePass, Native {
  readonly #context: Context;
  readonly handle: Pointer;

  constructor(context: Context, native: Pointer) {
    this.#context = context;
    this.handle = native;
  }

  setPipeline(pipeline: GPUComputePipeline): undefined {
    this.#context.library.zwgpuComputePassEncoderSetPipeline(handleOf(this), handleOf(pipeline));
  }

  setBindGroup(index: number, group: GPUBindGroup | null | undefined): undefined {
    const native = group ? handleOf(group) : null;
    this.#context.library.zwgpuComputePassEncoderSetBindGroup(handleOf(this), index, native, 0, null);
  }

  dispatchWorkgroups(x: number, y = 1, z = 1): undefined {
    this.#context.library.zwgpuComputePassEncoderDispatchWorkgroups(handleOf(this), x, y, z);
  }

  /** Ends the pass and releases it: it takes no more commands. */
  end(): undefined {
    const native = takeHandle(this);
    this.#context.library.zwgpuComputePassEncoderEnd(native);
    this.#context.library.zwgpuComputePassEncoderRelease(native);
  }
}

export class DawnCommandEncoder implements CommandEncoder, Native {
  readonly #context: Context;
  readonly handle: Pointer;

  constructor(context: Context, device: Pointer, label: string | undefined) {
    this.#context = context;
    const { library, arena } = context;
    this.handle = arena.frame(() =>
      handle(library.zwgpuDeviceCreateCommandEncoder(device, arena.pack(LABEL_DESCRIPTOR, { label })), "encoder"),
    );
  }

  beginComputePass({ label, timestampWrites }: GPUComputePassDescriptor = {}): GPUComputePassEncoder {
    const { library, arena } = this.#context;
    const native = arena.frame(() => {
      const writes =
        timestampWrites &&
        arena.pack(TIMESTAMP_WRITES, {
          querySet: handleOf(timestampWrites.querySet),
          beginningOfPassWriteIndex: timestampWrites.beginningOfPassWriteIndex ?? NO_INDEX,
          endOfPassWriteIndex: timestampWrites.endOfPassWriteIndex ?? NO_INDEX,
        });
      const packed = arena.pack(COMPUTE_PASS_DESCRIPTOR, { label, timestampWrites: writes });
      return handle(library.zwgpuCommandEncoderBeginComputePass(handleOf(this), packed), "compute pass");
    });
    return new DawnComputePass(this.#context, native) as DawnComputePass & GPUComputePassEncoder;
  }

  copyBufferToBuffer(source: GPUBuffer, destination: GPUBuffer, size?: number): undefined;
  copyBufferToBuffer(source: GPUBuffer, from: number, destination: GPUBuffer, to: number, size?: number): undefined;
  copyBufferToBuffer(
    source: GPUBuffer,
    a: number | GPUBuffer,
    b?: GPUBuffer | number,
    to = 0,
    size?: number,
  ): undefined {
    const [from, destination] = typeof a === "number" ? [a, b as GPUBuffer] : [0, a];
    const bytes = (typeof a === "number" ? size : (b as number | undefined)) ?? source.size - from;
    const { library } = this.#context;
    library.zwgpuCommandEncoderCopyBufferToBuffer(
      handleOf(this),
      handleOf(source),
      from,
      handleOf(destination),
      to,
      bytes,
    );
  }

  clearBuffer(buffer: GPUBuffer, offset = 0, size = buffer.size - offset): undefined {
    this.#context.library.zwgpuCommandEncoderClearBuffer(handleOf(this), handleOf(buffer), offset, size);
  }

  resolveQuerySet(set: GPUQuerySet, first: number, count: number, destination: GPUBuffer, offset: number): undefined {
    const { library } = this.#context;
    library.zwgpuCommandEncoderResolveQuerySet(
      handleOf(this),
      handleOf(set),
      first,
      count,
      handleOf(destination),
      offset,
    );
  }

  /** Ends the recording and releases the encoder: it takes no more commands. */
  finish({ label }: GPUCommandBufferDescriptor = {}): GPUCommandBuffer {
    const { library, arena } = this.#context;
    const encoder = takeHandle(this);
    const native = arena.frame(() =>
      handle(library.zwgpuCommandEncoderFinish(encoder, arena.pack(LABEL_DESCRIPTOR, { label })), "commands"),
    );
    library.zwgpuCommandEncoderRelease(encoder);
    return { handle: native, label: label ?? "" } as Native & GPUCommandBuffer;
  }
}

export class DawnQueue implements Queue {
  readonly #context: Context;
  readonly #handle: Pointer;

  constructor(context: Context, native: Pointer) {
    this.#context = context;
    this.#handle = native;
    own(this, native, context.library.zwgpuQueueRelease);
  }

  /** Runs the commands and releases them: they can be submitted once. */
  submit(commandBuffers: Iterable<GPUCommandBuffer>): undefined {
    const { library, arena } = this.#context;
    const handles = Array.from(commandBuffers, takeHandle);
    arena.frame(() => library.zwgpuQueueSubmit(this.#handle, handles.length, arena.pointers(handles)));
    for (const native of handles) library.zwgpuCommandBufferRelease(native);
  }

  /** Copies host memory before it returns. `from` and `count` are in elements of `data`, as the standard has them. */
  writeBuffer(
    buffer: GPUBuffer,
    offset: number,
    data: GPUAllowSharedBufferSource,
    from = 0,
    count?: number,
  ): undefined {
    const element = "BYTES_PER_ELEMENT" in data ? (data.BYTES_PER_ELEMENT as number) : 1;
    const bytes = count === undefined ? data.byteLength - from * element : count * element;
    if (from * element + bytes > data.byteLength)
      throw new RangeError(`${buffer.label}: a write past the end of its data`);
    if (bytes === 0) return;
    const { library, arena } = this.#context;
    arena.frame(() => {
      const at = arena.hold(data as Uint8Array, from * element);
      library.zwgpuQueueWriteBuffer(this.#handle, handleOf(buffer), offset, at, bytes);
    });
  }
}
