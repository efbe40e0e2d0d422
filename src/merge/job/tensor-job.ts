/** The job of making one output tensor: reads its inputs and writes the result. */
import type { TensorEntry } from "../../checkpoint/checkpoint.ts";
import type { Dtype } from "../../checkpoint/dtype.ts";
import type { PooledBuffer } from "../../gpu/buffer.ts";
import { inFlag, isOperand, outFlag, paddedBytes } from "../../tensor/load.ts";
import { narrows } from "./chunk-sizes.ts";
import type { Chunk } from "./chunks.ts";
import { type GramOptions, gramOf } from "./gram.ts";
import type { Outlet } from "./ordered-writer.ts";
import { type InputsOf, TensorInputs } from "./tensor-inputs.ts";

/** Records the kernels that fill `result`; `flags` select their variant for the type of the output. */
export type RecordOutput = (chunk: Chunk, result: GPUBuffer, flags: string[]) => void | Promise<void>;

/** Memory that is mapped as kernels leave it: whoever lends it frees it. */
const bound = (buffer: GPUBuffer, bytes: number): PooledBuffer => ({
  buffer,
  bytes,
  free: () => {},
  [Symbol.dispose]: () => {},
});

/** `V`: the values of the method's options. `S`: what its survey found. */
export class MergeJob<V = unknown, S = unknown> extends TensorInputs<V> {
  /** What the method's survey of the whole model found; undefined for methods without one. */
  readonly survey: S;
  readonly outDtype: Dtype;
  readonly #outlet: Outlet;
  #copied = false;

  constructor(given: InputsOf<V> & { readonly outlet: Outlet; readonly survey: S }) {
    super(given);
    this.survey = given.survey;
    this.outDtype = given.task.outDtype;
    this.#outlet = given.outlet;
  }

  /** Starts reading the first chunks, unless the tensor is copied. */
  override prefetch(): void {
    if (!this.#copied) super.prefetch();
  }

  /**
   * The output pass: `record` is called for each chunk with the buffer to fill (named `result` by kernels) and the flag
   * of the output type. What it fills is read back and written in order while later chunks and tensors compute,
   * or stays on the device where the run's sink takes it there.
   *
   *   await job.emit(async (chunk, result, out) => {
   *     await job.run("merge/nearswap", { flags: [...job.flags(), ...out] }, chunk, {
   *       bind: { stack: chunk.stack, result },
   *       params: { n4: chunk.n4, pitch: chunk.pitch, t: job.values.t },
   *     });
   *   });
   *
   * `spreads`: a value that is not finite gives one in the result, so that it needs no look of its own.
   */
  async emit(record: RecordOutput, spreads = false): Promise<void> {
    const scale = this.hasBase ? (this.settings.post?.(this.task) ?? 1) : 1;
    await this.#outlet.emit(this, async (write) => {
      const dtype = isOperand(this.outDtype) ? this.outDtype : "F32";
      await this.each(async (chunk) => {
        const bytes = paddedBytes(chunk.length, dtype);
        if (!spreads) await this.settings.inputs?.look(this.name, chunk, this.slots, this.dtype);
        const staging = await this.#outlet.stage(bytes);
        const result = staging?.bindable ? bound(staging.buffer, bytes) : this.gpu.buffer(bytes, `${this.name} output`);
        try {
          if (scale === 1) await record(chunk, result.buffer, outFlag(dtype));
          else await this.#rescaled(chunk, scale, result.buffer, outFlag(dtype), record);
        } catch (error) {
          staging?.free(); // the tensors that wait for it would wait without end otherwise
          result.free();
          throw error;
        }
        await write(staging, result, chunk, dtype);
      });
    });
  }

  /** Records a chunk's output in f32, then its change from the base times `scale`. */
  async #rescaled(chunk: Chunk, scale: number, result: GPUBuffer, out: string[], record: RecordOutput): Promise<void> {
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
    await this.#outlet.copy(this.name, entry);
  }

  /**
   * Writes (base * b + sum_k weights[k] * model k) / divisor; with `delta`, base + sum_k weights[k] * (model k - base).
   * `unrounded`: steps are not rounded in compatibility mode either, for what mergekit computes in f32. One pass.
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
    }, true);
  }

  /** Inner products of the models, or of their differences from the base, in f64. One pass; see gram.ts. */
  gram(options: GramOptions = {}): Promise<number[][]> {
    return gramOf(this, options);
  }
}
