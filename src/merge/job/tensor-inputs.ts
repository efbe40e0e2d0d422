/** The inputs of one output tensor in chunks on the GPU, and what methods ask of them. */

import { decodeFloats, encodeFloats } from "../../checkpoint/decode.ts";
import type { PooledBuffer } from "../../gpu/buffer.ts";
import type { Dispatch, Gpu } from "../../gpu/gpu.ts";
import { spanGroups } from "../../gpu/grid.ts";
import type { Kernel, Variant } from "../../gpu/kernel.ts";
import { cropEntry } from "../../tensor/crop.ts";
import { inFlag, type OperandDtype } from "../../tensor/load.ts";
import { type Layout, layoutOf, type Range, rangeOf } from "./chunk-sizes.ts";
import { type Chunk, Chunks } from "./chunks.ts";
import { type Reduction, reduceParts } from "./reduce.ts";
import { entriesOf, type JobSettings, type MergeTask } from "./task.ts";

function croppedTask(task: MergeTask): MergeTask {
  if (!task.crop) return task;
  const { rows, columns } = task.crop;
  const [base] = task.base ? [cropEntry(task.base, rows, columns)] : [];
  return { ...task, base, models: task.models.map((entry) => cropEntry(entry, rows, columns)) };
}

/** What a job is made of. */
export interface InputsOf<V> {
  readonly gpu: Gpu;
  readonly task: MergeTask;
  readonly values: V;
  readonly settings: JobSettings;
  /** How often the method looks at a value. */
  readonly passes: "one" | "many";
}

/** What a survey sees of each tensor; a `MergeJob` can also write. `V`: the values of the method's options. */
export class TensorInputs<V = unknown> {
  readonly gpu: Gpu;
  readonly task: MergeTask;
  readonly settings: JobSettings;
  /** Values of this tensor: method-wide ones, and per-model ones as arrays in the order of the models. */
  readonly values: V;
  readonly name: string;
  readonly shape: readonly number[];
  /** Number of values. */
  readonly size: number;
  /** Length of the last axis and number of such rows; a vector is one row. */
  readonly columns: number;
  readonly rows: number;
  /** Models besides the base. */
  readonly count: number;
  readonly hasBase: boolean;
  /** Slot of the first model in a stack; the base, if there is one, is in slot 0. */
  readonly first: number;
  readonly slots: number;
  readonly dtype: OperandDtype;
  /** Chunks hold whole rows, so that row-wise kernels can work on each alone. */
  readonly wholeRows: boolean;
  readonly layout: Layout;
  readonly #chunks: Chunks;
  readonly #scratch: PooledBuffer[] = [];

  constructor({ gpu, task, values, settings, passes }: InputsOf<V>) {
    this.gpu = gpu;
    this.task = croppedTask(task);
    this.values = values;
    this.settings = settings;
    this.name = task.name;
    this.shape = task.shape;
    this.count = task.models.length;
    this.hasBase = task.base !== undefined;
    this.first = this.hasBase ? 1 : 0;
    this.layout = layoutOf(this.task, passes, gpu.adapter, settings);
    this.#chunks = new Chunks(gpu, entriesOf(this.task), this.layout);
    this.size = this.layout.size;
    this.columns = this.layout.columns;
    this.rows = this.layout.rows;
    this.slots = this.layout.slots;
    this.dtype = this.layout.dtype;
    this.wholeRows = this.layout.wholeRows;
  }

  /** The name that keys random streams: its own, or that of the tensor it is a copy of. */
  get streamName(): string {
    return this.task.copyOf ?? this.name;
  }

  get chunkCount(): number {
    return this.layout.chunkCount;
  }

  /** Where the chunks lie, in order. */
  get ranges(): Range[] {
    return Array.from({ length: this.chunkCount }, (_, index) => rangeOf(this.layout, index));
  }

  /** Conditions that select the kernel variant for these inputs (and their rounding, in compatibility mode). */
  flags(...more: string[]): string[] {
    const rounding =
      this.settings.compatRounding && this.task.workDtype !== "F32"
        ? [`round_${this.task.workDtype.toLowerCase()}`]
        : [];
    return [...inFlag(this.dtype), ...rounding, ...more];
  }

  /** Starts reading the first chunks, so that the disk is busy while earlier tensors compute. */
  prefetch(): void {
    this.#chunks.prefetch();
  }

  /** Visits one chunk. What `visit` records runs before the chunk's memory is used again. */
  visit(index: number, visit: (chunk: Chunk) => void | Promise<void>): Promise<void> {
    return this.#chunks.visit(index, visit);
  }

  /** One pass over the chunks, in order; the next one is read while one is visited. */
  each(visit: (chunk: Chunk) => void | Promise<void>): Promise<void> {
    return this.#chunks.each(visit);
  }

  /**
   * One pass in which a kernel leaves a few numbers of each chunk, which `fold` takes on the host, in order:
   *
   *   let squares = 0;
   *   await job.reduce(await job.gpu.kernel("merge/squares"), {
   *     count: ({ n4 }) => Math.ceil(n4 / SPAN),
   *     dispatch: (chunk, partials) => ({
   *       bind: { stack: chunk.stack, partials },
   *       params: { n4: chunk.n4, pitch: chunk.pitch, slot: job.first },
   *       groups: job.spans(chunk),
   *     }),
   *     fold: (partials) => { for (const square of partials) squares += square; },
   *   });
   */
  reduce<T extends "f32" | "u32" = "f32">(kernel: Kernel, reduction: Reduction<Chunk, T>): Promise<void> {
    return reduceParts(this.gpu, this.name, kernel, (visit) => this.each(visit), reduction);
  }

  /** A buffer that lives until the job ends. */
  hold(bytes: number, label: string): GPUBuffer {
    const buffer = this.gpu.buffer(bytes, `${this.name} ${label}`);
    this.#scratch.push(buffer);
    return buffer.buffer;
  }

  /** Host values on the device until the job ends. */
  constants(data: ArrayBufferView, label: string): GPUBuffer {
    const buffer = this.gpu.upload(data, `${this.name} ${label}`);
    this.#scratch.push(buffer);
    return buffer.buffer;
  }

  /** Workgroups over the spans of a chunk. */
  spans(chunk: { n4: number }): [number, number] {
    return spanGroups(chunk.n4);
  }

  /** A host scalar as the working dtype would hold it in compatibility mode; unchanged otherwise. */
  roundedToWork(value: number): number {
    if (!this.settings.compatRounding || this.task.workDtype === "F32") return value;
    const { workDtype } = this.task;
    return decodeFloats(encodeFloats(Float32Array.of(value), workDtype), workDtype)[0]!;
  }

  /** Records a kernel over the vectors of a chunk. */
  async run(path: string, variant: Variant, chunk: { n4: number }, dispatch: Omit<Dispatch, "groups">): Promise<void> {
    this.gpu.run(await this.gpu.kernel(path, variant), { ...dispatch, groups: spanGroups(chunk.n4) });
  }

  /** Gives back everything that is held. */
  async close(): Promise<void> {
    for (const buffer of this.#scratch) buffer.free();
    await this.#chunks.close();
  }
}
