/**
 * Writes the results of many jobs in the order of the plan: each tensor's values leave in chunks, while later chunks
 * and later tensors are still being computed.
 */
import type { TensorEntry } from "../../checkpoint/checkpoint.ts";
import { DTYPE_BYTES, type Dtype } from "../../checkpoint/dtype.ts";
import type { PooledBuffer } from "../../gpu/buffer.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import type { Readback } from "../../gpu/transfer.ts";
import type { OperandDtype } from "../../tensor/load.ts";
import type { Range } from "./chunk-sizes.ts";

/** Takes the bytes of tensors in order; a view may be reused once the promise resolves. */
export interface TensorSink {
  write(name: string, bytes: Uint8Array): Promise<void>;
}

/** Takes results where they are computed, in any order, with no way to the host. */
export interface DeviceSink {
  /** Takes values [start, start + length) of a tensor. What it records runs before `result` is used again. */
  place(name: string, result: PooledBuffer, range: Range, dtype: OperandDtype): Promise<void>;
  /** Takes the values of an input as they are. */
  copy(name: string, entry: TensorEntry): Promise<void>;
}

/** Queues a chunk's read-back and write, or gives it to the device's sink; never waits for the host. */
export type WriteChunk = (
  staging: Readback | undefined,
  result: PooledBuffer,
  range: Range,
  dtype: OperandDtype,
) => Promise<void> | void;

const COPY_BYTES = 8 << 20;

/** Gives each job its turn to write, in the order in which outlets were made. */
export class Outlets {
  readonly #gpu: Gpu;
  readonly #sink: TensorSink | DeviceSink;
  /** Resolves when the tensors before have recorded all of their output. */
  #turn: Promise<void> = Promise.resolve();
  /** Resolves when everything queued so far is written. */
  #written: Promise<void> = Promise.resolve();

  constructor(gpu: Gpu, sink: TensorSink | DeviceSink) {
    this.#gpu = gpu;
    this.#sink = sink;
  }

  next(): Outlet {
    const turn = this.#turn;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#turn = promise;
    return new Outlet(turn, resolve, this.#gpu, this.#sink, (step) => {
      this.#written = this.#written.then(step);
      this.#written.catch(() => {}); // whoever queued the failing step reports it
      return this.#written;
    });
  }
}

export class Outlet {
  readonly #turn: Promise<void>;
  readonly #gpu: Gpu;
  readonly #sink: TensorSink | DeviceSink;
  readonly #queue: (step: () => Promise<void>) => Promise<void>;
  /** Lets the next tensor write. Called in every case, also when the job fails. */
  readonly release: () => void;

  constructor(
    turn: Promise<void>,
    release: () => void,
    gpu: Gpu,
    sink: TensorSink | DeviceSink,
    queue: (step: () => Promise<void>) => Promise<void>,
  ) {
    this.#turn = turn;
    this.release = release;
    this.#gpu = gpu;
    this.#sink = sink;
    this.#queue = queue;
  }

  /** Memory through which a chunk goes to the host; undefined where it stays on the device. */
  async stage(bytes: number): Promise<Readback | undefined> {
    return "place" in this.#sink ? undefined : this.#gpu.readbacks.take(bytes);
  }

  /** Runs the output pass of a tensor in its turn; resolves when all of it is written. */
  async emit(tensor: { name: string; outDtype: Dtype }, pass: (write: WriteChunk) => Promise<void>): Promise<void> {
    const sink = this.#sink;
    if ("place" in sink) {
      this.release();
      return pass(async (_, result, range, dtype) => {
        try {
          await sink.place(tensor.name, result, range, dtype);
        } finally {
          result.free();
        }
      });
    }
    await this.#turn;
    const writes: Promise<void>[] = [];
    try {
      await pass((staging, result, { length }, dtype) => {
        const write = this.#writeBack(sink, tensor, { staging: staging!, result, length, dtype });
        write.catch(() => {});
        writes.push(write);
      });
    } finally {
      this.release();
    }
    await Promise.all(writes);
  }

  async #writeBack(
    sink: TensorSink,
    tensor: { name: string; outDtype: Dtype },
    {
      staging,
      result,
      length,
      dtype,
    }: { staging: Readback; result: PooledBuffer; length: number; dtype: OperandDtype },
  ): Promise<void> {
    const bytes = length * DTYPE_BYTES[dtype];
    if (result.buffer !== staging.buffer) this.#gpu.copy(result.buffer, 0, staging.buffer, 0, Math.ceil(bytes / 4) * 4);
    this.#gpu.submit();
    const mapped = staging.map(bytes);
    mapped.catch(() => {});
    try {
      await this.#queue(async () => {
        const view = await mapped;
        this.#gpu.check();
        await sink.write(tensor.name, await encoded(view, dtype, tensor.outDtype));
      });
    } catch (error) {
      this.#gpu.check(); // the device's own report says more than the failed map
      throw error;
    } finally {
      // After a failed write this map may still be pending: staging memory must not be reused or destroyed before it
      // ends.
      await mapped.catch(() => {});
      result.free();
      staging.free();
    }
  }

  /** Copies a tensor's bytes as they are, in its turn. Memory: two pieces of 8 MiB. */
  async copy(name: string, entry: TensorEntry): Promise<void> {
    const sink = this.#sink;
    if ("place" in sink) {
      this.release();
      return sink.copy(name, entry);
    }
    await this.#turn;
    try {
      const pieces = [0, 1].map(() => new Uint8Array(Math.min(COPY_BYTES, entry.bytes)));
      let before: Promise<void> = Promise.resolve();
      for (let offset = 0, i = 0; offset < entry.bytes; offset += COPY_BYTES, i++) {
        const piece = pieces[i % 2]!.subarray(0, Math.min(COPY_BYTES, entry.bytes - offset));
        await entry.read(piece, offset);
        const last = before;
        before = this.#queue(() => sink.write(name, piece));
        await last;
      }
      await before;
    } finally {
      this.release();
    }
  }
}

/** Types that kernels cannot write are encoded on the host, from f32. */
async function encoded(view: Uint8Array, dtype: Dtype, out: Dtype): Promise<Uint8Array> {
  if (dtype === out) return view;
  const { encodeFloats } = await import("../../checkpoint/decode.ts");
  return encodeFloats(new Float32Array(view.buffer as ArrayBuffer, view.byteOffset, view.byteLength / 4), out);
}
