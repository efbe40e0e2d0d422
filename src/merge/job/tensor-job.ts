/**
 * One output tensor in the making: its inputs in chunks on the GPU, what methods ask of them, and the way out.
 */
import type { TensorEntry } from "../../checkpoint/checkpoint.ts";
import { DTYPE_BYTES, type Dtype } from "../../checkpoint/dtype.ts";
import type { PooledBuffer } from "../../gpu/buffer.ts";
import type { Dispatch, Gpu } from "../../gpu/gpu.ts";
import type { Variant } from "../../gpu/kernel.ts";
import { cropEntry } from "../../tensor/crop.ts";
import { inFlag, isOperand, type OperandDtype, outFlag, paddedBytes, spanGroups } from "../../tensor/load.ts";
import { type Layout, layoutOf, narrows } from "./chunk-sizes.ts";
import { type Chunk, Chunks } from "./chunks.ts";
import { type GramOptions, gramOf } from "./gram.ts";
import type { Outlet } from "./ordered-writer.ts";

/** A tensor to be merged, as planned. */
export interface MergeTask {
  readonly name: string;
  readonly shape: readonly number[];
  readonly outDtype: Dtype;
  /** Inputs are rounded to this type when it is narrower than theirs; arithmetic is in f32 all the same. */
  readonly workDtype: OperandDtype;
  readonly base?: TensorEntry | undefined;
  readonly models: readonly TensorEntry[];
  /** Position of each model in the recipe: random streams are keyed by it, and a tensor may be missing from some. */
  readonly modelIndex: readonly number[];
  /** Place of its block in the stack, 0 first and 1 last, and the block's number; undefined outside the blocks. */
  readonly depth?: number | undefined;
  readonly layer?: number | undefined;
  /** Some inputs are larger than `shape`: of each, the top-left rows and columns count. */
  readonly crop?: { readonly rows: number; readonly columns: number } | undefined;
}

export interface JobSettings {
  readonly seed: number;
  /** Round every intermediate to the working dtype, as a tool that computes in it does. */
  readonly compatRounding: boolean;
  /** Reproduce known faults of the reference tool. */
  readonly compatBugs: boolean;
  /** Scale of the result's change from the base, by tensor: a step after any method (LiNeS). */
  readonly post?: (task: MergeTask) => number;
  /** Values per chunk and input; left out, as suits the adapter. Tests set it to see tensors of several chunks. */
  readonly chunkValues?: number;
}

/** One value rounded to nearest even in a 16-bit type. */
function roundTo(value: number, dtype: "F16" | "BF16"): number {
  if (dtype === "F16") return new Float16Array([value])[0]!;
  const word = new Uint32Array(new Float32Array([value]).buffer)[0]!;
  const rounded = (word + 0x7fff + ((word >>> 16) & 1)) & 0xffff0000;
  return new Float32Array(new Uint32Array([rounded]).buffer)[0]!;
}

function croppedTask(task: MergeTask): MergeTask {
  if (!task.crop) return task;
  const { rows, columns } = task.crop;
  const crop = (entry: TensorEntry) => cropEntry(entry, rows, columns);
  return { ...task, base: task.base && crop(task.base), models: task.models.map(crop) };
}

export class MergeJob<V = unknown> {
  readonly gpu: Gpu;
  readonly task: MergeTask;
  readonly settings: JobSettings;
  /** Values of this tensor: method-wide ones, and per-model ones as arrays in the order of the models. */
  readonly values: V;
  /** What the method's survey of the whole model found; undefined for methods without one. */
  survey: unknown;
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
  /** Slot of the first model in a stack. */
  readonly first: number;
  readonly slots: number;
  readonly dtype: OperandDtype;
  readonly outDtype: Dtype;
  /** Chunks hold whole rows, so that row-wise kernels can work on each alone. */
  readonly wholeRows: boolean;
  readonly layout: Layout;
  readonly #outlet: Outlet | undefined;
  readonly #chunks: Chunks;
  readonly #scratch: PooledBuffer[] = [];
  #copied = false;

  constructor(gpu: Gpu, task: MergeTask, values: V, settings: JobSettings, passes: "one" | "many", outlet?: Outlet) {
    this.gpu = gpu;
    this.task = croppedTask(task);
    this.values = values;
    this.settings = settings;
    this.#outlet = outlet;
    this.name = task.name;
    this.shape = task.shape;
    this.count = task.models.length;
    this.hasBase = task.base !== undefined;
    this.first = this.hasBase ? 1 : 0;
    this.outDtype = task.outDtype;
    this.layout = layoutOf(this.task, passes, gpu.adapter, settings.chunkValues);
    const entries = this.task.base ? [this.task.base, ...this.task.models] : this.task.models;
    this.#chunks = new Chunks(gpu, entries, this.layout);
    this.size = this.layout.size;
    this.columns = this.layout.columns;
    this.rows = this.layout.rows;
    this.slots = this.layout.slots;
    this.dtype = this.layout.dtype;
    this.wholeRows = this.layout.wholeRows;
  }

  /** Values per chunk (whole rows where they fit), and number of chunks. */
  get chunkLength(): number {
    return this.layout.chunkLength;
  }
  get chunkCount(): number {
    return this.layout.chunkCount;
  }

  #way(): Outlet {
    if (!this.#outlet) throw new Error(`${this.name}: a survey writes nothing`);
    return this.#outlet;
  }

  /** Slot of the base in a stack. */
  get baseSlot(): number {
    return 0;
  }

  /** Conditions that select the kernel variant for this job's inputs (and its rounding, in compatibility mode). */
  flags(...more: string[]): string[] {
    const rounding =
      this.settings.compatRounding && this.task.workDtype !== "F32"
        ? [`round_${this.task.workDtype.toLowerCase()}`]
        : [];
    return [...inFlag(this.dtype), ...rounding, ...more];
  }

  /** Starts reading the first chunks, so that the disk is busy while earlier tensors compute; not of what is copied. */
  prefetch(): void {
    if (!this.#copied) this.#chunks.prefetch();
  }

  /** Visits one chunk. What `visit` records runs before the chunk's memory is used again. */
  visit(index: number, visit: (chunk: Chunk) => void | Promise<void>): Promise<void> {
    return this.#chunks.visit(index, visit);
  }

  /** One pass over the chunks, in order; the next one is read while one is visited. */
  each(visit: (chunk: Chunk) => void | Promise<void>): Promise<void> {
    return this.#chunks.each(visit);
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
    return roundTo(value, this.task.workDtype);
  }

  /** Records a kernel over the vectors of a chunk. */
  async run(path: string, variant: Variant, chunk: { n4: number }, dispatch: Omit<Dispatch, "groups">): Promise<void> {
    this.gpu.run(await this.gpu.kernel(path, variant), { ...dispatch, groups: spanGroups(chunk.n4) });
  }

  /**
   * The output pass: `record` is called for each chunk with the flag of the output type and the buffer to fill (named
   * `result` by kernels); what it fills is read back and written in order while later chunks and tensors compute.
   */
  async emit(record: (chunk: Chunk, result: GPUBuffer, flags: string[]) => void | Promise<void>): Promise<void> {
    const scale = this.hasBase ? (this.settings.post?.(this.task) ?? 1) : 1;
    await this.#way().emit(this, async (write) => {
      const dtype = isOperand(this.outDtype) ? this.outDtype : "F32";
      await this.each(async (chunk) => {
        const bytes = chunk.length * DTYPE_BYTES[dtype];
        const staging = await this.gpu.readbacks.take(bytes);
        const result = this.gpu.buffer(paddedBytes(chunk.length, dtype), `${this.name} output`);
        try {
          if (scale === 1) await record(chunk, result.buffer, outFlag(dtype));
          else await this.#rescaled(chunk, scale, result.buffer, outFlag(dtype), record);
        } catch (error) {
          staging.free(); // else the tensors that wait for it would wait for ever
          result.free();
          throw error;
        }
        write(staging, result, bytes, dtype);
      });
    });
  }

  /** Records a chunk's output in f32, then its change from the base times `scale`. */
  async #rescaled(
    chunk: Chunk,
    scale: number,
    result: GPUBuffer,
    out: string[],
    record: (chunk: Chunk, result: GPUBuffer, flags: string[]) => void | Promise<void>,
  ): Promise<void> {
    using merged = this.gpu.buffer(paddedBytes(chunk.length, "F32"), `${this.name} merged`);
    await record(chunk, merged.buffer, []);
    await this.run("merge/rescale-change", { flags: [...inFlag(this.dtype), ...out] }, chunk, {
      bind: { stack: chunk.stack, merged: merged.buffer, result },
      params: { n4: chunk.n4, scale },
    });
  }

  /** True when the bytes of an input are already those of the output: no other type, no crop, no adapter to apply. */
  copies(entry: TensorEntry): boolean {
    return entry.dtype === this.outDtype && !entry.patch && !this.task.crop && !narrows(entry, this.task.workDtype);
  }

  /** Copies the bytes of one input, untouched. */
  async copy(entry: TensorEntry): Promise<void> {
    this.#copied = true;
    await this.#way().copy(this.name, entry);
  }

  /**
   * Writes (base * b + sum_k weights[k] * model k) / divisor; with `delta`, base + sum_k weights[k] * (model k - base).
   * `unrounded`: steps are not rounded in compatibility mode either, for what mergekit computes in f32.
   */
  async combine(
    weights: readonly number[],
    options: { base?: number; divisor?: number; delta?: boolean; unrounded?: boolean } = {},
  ): Promise<void> {
    const all = this.hasBase ? [options.base ?? 0, ...weights] : [...weights];
    const stepwise = !options.unrounded && this.settings.compatRounding && this.task.workDtype !== "F32";
    const divisor = options.divisor ?? 1;
    const shares = stepwise ? all.map((weight) => this.roundedToWork(weight)) : all.map((weight) => weight / divisor);
    const held = this.constants(new Float32Array(shares), "weights");
    const variant = [...(options.delta ? ["delta"] : []), ...(stepwise ? ["stepwise"] : [])];
    const flags = options.unrounded ? [...inFlag(this.dtype), ...variant] : this.flags(...variant);
    await this.emit(async (chunk, result, out) => {
      await this.run("merge/combine", { flags: [...flags, ...out], constants: { K: this.slots } }, chunk, {
        bind: { stack: chunk.stack, weights: held, result },
        params: { n4: chunk.n4, pitch: chunk.pitch, divisor },
      });
    });
  }

  /** Inner products of the models, or of their differences from the base; see gram.ts. */
  gram(options: GramOptions = {}): Promise<number[][]> {
    return gramOf(this, options);
  }

  /** Gives back everything the job holds. */
  async close(): Promise<void> {
    for (const buffer of this.#scratch) buffer.free();
    await this.#chunks.close();
  }
}
