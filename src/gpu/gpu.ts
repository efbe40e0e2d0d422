/**
 * One open GPU: kernels by name, pooled buffers, uploads and read-backs that overlap with the disk, and recording.
 *
 * Work is recorded into one command stream in the order of the calls. It is submitted when a result is awaited or the
 * uniforms run full. Nothing here knows tensors or files.
 */

import { UserError } from "../errors.ts";
import { BufferPool, type PooledBuffer } from "./buffer.ts";
import { type Adapter, type Device, describeDevice, openDevice } from "./device.ts";
import { dryDevice } from "./dry-device.ts";
import { foldGroups } from "./grid.ts";
import { type Kernel, Kernels, type ParamValues, packParams, type Variant } from "./kernel.ts";
import { SharedMemory, sharesMemory } from "./shared.ts";
import { KernelTimer } from "./timer.ts";
import { Readbacks, Uploads } from "./transfer.ts";

/** Uniforms of one submit: one slot per dispatch, at the alignment that every adapter accepts. */
const UNIFORM_SLOT = 256;
const UNIFORM_SLOTS = 256;
const UNIFORM = 0x40;
const COPY_DST = 0x08;

/** A dispatch whose bind group and grid were made ahead of time; see `Gpu.prepare`. */
export interface Prepared {
  readonly kernel: Kernel;
  readonly group: GPUBindGroup;
  readonly grid: readonly [number, number, number];
}

/** A buffer, or a part of one: `offset` and `size` in bytes, the offset a multiple of 256. */
export type Bound = GPUBuffer | { readonly buffer: GPUBuffer; readonly offset: number; readonly size: number };

export interface Dispatch {
  readonly bind: Readonly<Record<string, Bound>>;
  readonly params?: ParamValues;
  /** Invocations along x, folded over y where they exceed the limit; or exact workgroups. */
  readonly invocations?: number;
  readonly groups?: readonly [number, number?, number?];
}

export interface GpuOptions {
  /** Which adapter: a type (cpu, discrete, integrated, gpu) or part of its name. */
  readonly device?: string | undefined;
  /** Time every kernel by timestamp queries; costs a pass per dispatch. */
  readonly profile?: boolean;
  /** Compute nothing: to find out what something takes, from shapes alone. */
  readonly dry?: boolean;
}

export class Gpu {
  readonly adapter: Adapter;
  readonly pool: BufferPool;
  /** Memory that the host and kernels both see, where the device's is the host's. */
  readonly shared: SharedMemory | undefined;
  readonly uploads: Uploads;
  readonly readbacks: Readbacks;
  readonly timer: KernelTimer | undefined;
  /** What loaders computed once on the host, by the tensor that it belongs to. */
  readonly hostValues = new WeakMap<object, Promise<Float32Array>>();
  /** Tensors that stay on the device, by what loaders know them by; see tensor/resident.ts. */
  readonly residents = new WeakMap<object, { readonly buffer: GPUBuffer; readonly dtype: "F32" | "F16" | "BF16" }>();
  readonly #device: Device;
  readonly #kernels: Kernels;
  readonly #uniforms: GPUBuffer;
  readonly #uniformBytes = new Uint8Array(UNIFORM_SLOT * UNIFORM_SLOTS);
  #slot = 0;
  #encoder: GPUCommandEncoder | undefined;
  #pass: GPUComputePassEncoder | undefined;
  #groups: GPUBindGroup[] = [];
  #failure: Error | undefined;
  #last: string | undefined;
  #closed = false;

  constructor(device: Device, profile: boolean) {
    this.#device = device;
    this.adapter = device.adapter;
    this.#kernels = new Kernels(device);
    if (sharesMemory(device)) this.shared = new SharedMemory(device, () => this.submit());
    this.pool = new BufferPool(device);
    this.uploads = new Uploads(device);
    this.readbacks = new Readbacks(device, this.shared !== undefined);
    if (profile && device.device.features.has("timestamp-query")) this.timer = new KernelTimer(device);
    this.#uniforms = device.device.createBuffer({
      label: "uniforms",
      size: UNIFORM_SLOT * UNIFORM_SLOTS,
      usage: UNIFORM | COPY_DST,
    });
    device.device.onuncapturederror = ({ error }) => this.#fail(this.#explained(error as Error));
    device.device.lost.then((info) => {
      if (this.#closed) return;
      const message = `The GPU device was lost ${this.#where()}: ${info.message || info.reason}`;
      this.#fail(
        new UserError(message, "the driver was reset or ran out of memory; run it again, or with --device cpu", 1),
      );
    });
  }

  get device(): GPUDevice {
    return this.#device.device;
  }

  /** Nothing is computed: what fills buffers may be left out, and what reads them throws NeedsValues. */
  get dry(): boolean {
    return this.#device.dry === true;
  }

  #where(): string {
    return this.#last === undefined ? "before it ran a kernel" : `while running ${this.#last}`;
  }

  /** Too little memory is the user's to mend; any other error of the device is a fault of the code. */
  #explained({ name, message }: Error): Error {
    if (name !== "GPUOutOfMemoryError") return new Error(`GPU error, last kernel ${this.#last ?? "none"}: ${message}`);
    return new UserError(
      `The GPU ran out of memory ${this.#where()}: ${message.split("\n")[0]}`,
      "use smaller batches, end other programs that use the GPU, or run it with --device cpu",
      1,
    );
  }

  #fail(error: Error): void {
    this.#failure ??= error;
  }

  /** Throws the first error that the device reported since it was opened. */
  check(): void {
    if (this.#failure) throw this.#failure;
  }

  /** A compiled kernel, cached by path, flags and constants. */
  kernel(path: string, variant: Variant = {}): Promise<Kernel> {
    if (this.#failure) return Promise.reject(this.#failure);
    return this.#kernels.get(path, variant);
  }

  /**
   * A pooled storage buffer of at least `bytes`, contents undefined; `using` or `free()` gives it back. One that
   * `stays` is not rounded up to a size that others could use after it.
   */
  buffer(bytes: number, label: string, stays = false): PooledBuffer {
    return this.pool.take(bytes, label, stays);
  }

  /** A pooled storage buffer holding `data`. */
  upload(data: ArrayBufferView, label: string): PooledBuffer {
    const bytes = new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
    const buffer = this.buffer(Math.max(4, bytes.byteLength), label);
    if (bytes.byteLength > 0) this.write(buffer.buffer, 0, bytes);
    return buffer;
  }

  /** Copies host bytes into a buffer in stream order. For small data; large data goes through `uploads`. */
  write(buffer: GPUBuffer, offset: number, bytes: Uint8Array): void {
    this.check();
    this.submit(); // queue writes happen before work recorded but not submitted
    const whole = bytes.byteLength - (bytes.byteLength % 4);
    const host = bytes as Uint8Array<ArrayBuffer>;
    if (whole > 0) this.device.queue.writeBuffer(buffer, offset, host, 0, whole);
    if (whole < bytes.byteLength) {
      const tail = new Uint8Array(4);
      tail.set(bytes.subarray(whole));
      this.device.queue.writeBuffer(buffer, offset + whole, tail);
    }
  }

  #recorder(): GPUCommandEncoder {
    this.#encoder ??= this.device.createCommandEncoder();
    return this.#encoder;
  }

  #endPass(): void {
    if (!this.#pass) return;
    this.#pass.end();
    this.#pass = undefined;
  }

  /** Records one dispatch of a kernel. Buffers go by the names that the kernel declares. */
  run(kernel: Kernel, dispatch: Dispatch): void {
    this.check(); // a lost device takes no more work, and says so less clearly
    if (this.#slot === UNIFORM_SLOTS) this.submit();
    this.#last = kernel.label;
    const { layout } = kernel;
    let uniform: Bound | undefined;
    if (layout.paramsSlot !== undefined) {
      const offset = this.#slot++ * UNIFORM_SLOT;
      packParams(kernel, dispatch.params ?? {}, new DataView(this.#uniformBytes.buffer, offset, UNIFORM_SLOT));
      uniform = { buffer: this.#uniforms, offset, size: layout.paramsBytes };
    }
    const group = this.#bindGroup(kernel, dispatch.bind, uniform);
    this.#groups.push(group);
    if (this.timer) this.#endPass();
    this.#pass ??= this.#recorder().beginComputePass(this.timer?.begin(kernel.label) ?? {});
    this.#pass.setPipeline(kernel.pipeline);
    this.#pass.setBindGroup(0, group);
    this.#pass.dispatchWorkgroups(...this.#grid(kernel, dispatch));
  }

  #bindGroup(kernel: Kernel, bind: Dispatch["bind"], uniform: Bound | undefined): GPUBindGroup {
    const { layout } = kernel;
    const entries: GPUBindGroupEntry[] = layout.bindings.map(({ name, slot }) => {
      const bound = bind[name];
      if (!bound) throw new Error(`${kernel.label}: nothing bound to ${name}`);
      return { binding: slot, resource: "buffer" in bound ? bound : { buffer: bound, offset: 0, size: bound.size } };
    });
    const unknown = Object.keys(bind).find((name) => !layout.bindings.some((b) => b.name === name));
    if (unknown !== undefined) throw new Error(`${kernel.label}: no binding is called ${unknown}`);
    if (layout.paramsSlot !== undefined) {
      if (!uniform) throw new Error(`${kernel.label}: nothing bound to params`);
      const { buffer, offset, size } =
        "buffer" in uniform ? uniform : { buffer: uniform, offset: 0, size: uniform.size };
      entries.push({ binding: layout.paramsSlot, resource: { buffer, offset, size } });
    }
    return this.device.createBindGroup({ label: kernel.label, layout: kernel.group, entries });
  }

  /**
   * Makes a dispatch that can be recorded many times. `uniform` holds the kernel's params. Release it with `forget`.
   */
  prepare(kernel: Kernel, dispatch: Omit<Dispatch, "params">, uniform: Bound | undefined): Prepared {
    return { kernel, group: this.#bindGroup(kernel, dispatch.bind, uniform), grid: this.#grid(kernel, dispatch) };
  }

  /** Records prepared dispatches, in order. */
  replay(dispatches: readonly Prepared[]): void {
    this.check();
    let pipeline: GPUComputePipeline | undefined;
    for (const { kernel, group, grid } of dispatches) {
      if (this.timer) {
        if (this.timer.full) this.submit();
        this.#endPass();
        pipeline = undefined;
      }
      this.#pass ??= this.#recorder().beginComputePass(this.timer?.begin(kernel.label) ?? {});
      if (pipeline !== kernel.pipeline) this.#pass.setPipeline(kernel.pipeline);
      pipeline = kernel.pipeline;
      this.#pass.setBindGroup(0, group);
      this.#pass.dispatchWorkgroups(...grid);
      this.#last = kernel.label;
    }
  }

  /** Releases what `prepare` made. Nothing recorded may still need it. */
  forget(dispatches: readonly Prepared[]): void {
    this.submit();
    for (const { group } of dispatches) this.#device.provider.releaseBindGroup(group);
  }

  #grid(kernel: Kernel, { groups, invocations }: Dispatch): [number, number, number] {
    if (groups) return [groups[0], groups[1] ?? 1, groups[2] ?? 1];
    return [...foldGroups(Math.ceil((invocations ?? 1) / kernel.layout.workgroup)), 1];
  }

  /** Records a copy between buffers. Bytes and offsets are multiples of 4. */
  copy(from: GPUBuffer, fromOffset: number, to: GPUBuffer, toOffset: number, bytes: number): void {
    if (bytes === 0) return;
    this.check();
    this.#endPass();
    this.#recorder().copyBufferToBuffer(from, fromOffset, to, toOffset, bytes);
  }

  /** Records filling a buffer with zeros. Bytes are a multiple of 4. */
  clear(buffer: GPUBuffer, bytes: number): void {
    this.check();
    this.#endPass();
    this.#recorder().clearBuffer(buffer, 0, bytes);
  }

  /** Submits what was recorded. Does not wait. */
  submit(): void {
    this.#endPass();
    const encoder = this.#encoder;
    if (!encoder) return;
    this.timer?.resolve(encoder);
    if (this.#slot > 0) {
      this.device.queue.writeBuffer(this.#uniforms, 0, this.#uniformBytes, 0, this.#slot * UNIFORM_SLOT);
    }
    this.device.queue.submit([encoder.finish()]);
    for (const group of this.#groups) this.#device.provider.releaseBindGroup(group);
    this.#groups = [];
    this.#encoder = undefined;
    this.#slot = 0;
  }

  /**
   * Reads bytes of a buffer as they are at this point of the recording: submits, waits, and hands out a view that is
   * valid until `use` resolves. Many may be in flight; each waits only for its own copy. While all staging memory is
   * lent, the bytes are kept in a pooled buffer.
   */
  async read<T>(
    buffer: GPUBuffer,
    offset: number,
    bytes: number,
    use: (view: Uint8Array) => T | Promise<T>,
  ): Promise<T> {
    const padded = Math.ceil(bytes / 4) * 4;
    const ready = this.readbacks.takeNow(bytes);
    const kept = ready ? undefined : this.buffer(padded, "read-back, waiting");
    if (kept) this.copy(buffer, offset, kept.buffer, 0, padded);
    const staging = ready ?? (await this.readbacks.take(bytes));
    try {
      if (kept) this.copy(kept.buffer, 0, staging.buffer, 0, padded);
      else this.copy(buffer, offset, staging.buffer, 0, padded);
      kept?.free();
      this.submit();
      const view = await staging.map(bytes);
      this.check();
      return await use(view);
    } catch (error) {
      this.check(); // the device's own report says more than the failed map
      throw error;
    } finally {
      staging.free();
    }
  }

  /** Reads f32 values, copied out. */
  readFloats(buffer: GPUBuffer, count: number, offset = 0): Promise<Float32Array> {
    return this.read(buffer, offset, 4 * count, (view) => new Float32Array(view.slice().buffer));
  }

  /** Reads u32 values, copied out. */
  readWords(buffer: GPUBuffer, count: number, offset = 0): Promise<Uint32Array> {
    return this.read(buffer, offset, 4 * count, (view) => new Uint32Array(view.slice().buffer));
  }

  /** Frees everything. The device cannot be used afterwards. */
  close(): void {
    this.#closed = true;
    if (!this.#failure) this.submit();
    this.uploads.destroy();
    this.readbacks.destroy();
    this.pool.destroy();
    this.shared?.destroy();
    this.device.destroy();
  }
}

/** Opens the best adapter or the one that `device` names; see `openDevice`. */
export async function openGpu(options: GpuOptions = {}): Promise<Gpu> {
  if (options.dry) return new Gpu(dryDevice(await describeDevice(options.device)), false);
  return new Gpu(await openDevice(options.device), options.profile ?? false);
}
