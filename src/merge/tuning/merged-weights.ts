/**
 * The weights of a model as a merge of others whose coefficients change: written on the GPU from the inputs, and the
 * gradients of the coefficients taken from those of the weights.
 *
 * GPU memory: the inputs in the type of their files (base and models; nothing when they are read again for every use),
 * and of the chunk at work one f32 copy. The weights and their gradients are the model's own.
 */
import type { PooledBuffer } from "../../gpu/buffer.ts";
import type { Bound, Gpu } from "../../gpu/gpu.ts";
import { REDUCE_SPAN, spanGroups } from "../../gpu/grid.ts";
import type { StoredTensor } from "../../model/load.ts";
import type { Model } from "../../model/model.ts";
import { inFlag, paddedBytes } from "../../tensor/load.ts";
import { footprint } from "../job/chunk-sizes.ts";
import type { Chunk } from "../job/chunks.ts";
import type { JobSettings } from "../job/task.ts";
import { TensorInputs } from "../job/tensor-inputs.ts";
import type { Prepare, Prepared, Tuning } from "./contract.ts";
import type { Columns, Group } from "./groups.ts";

/** Words of `Term` in wgsl/merge/add-task-vectors.wgsl. */
const WORDS = 5;

/** One merged tensor, and where it lies in the model. */
interface Merged {
  readonly inputs: TensorInputs;
  readonly group: number;
  readonly target: StoredTensor;
  readonly terms: PooledBuffer;
  /** First of its partial sums. */
  readonly first: number;
  readonly prepare: Prepare | undefined;
  /** Chunks that stay, by index. */
  readonly held: Map<number, Prepared>;
}

/** Everything that is learnt of a merge. */
export interface MergedOptions {
  readonly groups: readonly Group[];
  readonly columns: Columns;
  readonly settings: JobSettings;
  /** Values of the method's options for a tensor. */
  readonly valuesOf: (task: Group["tasks"][number]) => unknown;
  readonly prepare?: Tuning["prepare"];
  /** The type of what `prepare` makes; that of the inputs when left out. */
  readonly preparedDtype?: Tuning["preparedDtype"];
  /** Whether inputs are read from their files for every use, and not kept. */
  readonly offload: boolean;
}

/** Spans of a chunk, each with a partial sum per model. */
const spansOf = (length: number): number => Math.ceil(Math.ceil(length / 4) / REDUCE_SPAN);

export class MergedWeights {
  readonly #gpu: Gpu;
  readonly #columns: Columns;
  readonly #groups: readonly Group[];
  readonly #tensors: readonly Merged[];
  readonly #partials: PooledBuffer;
  readonly #count: number;
  readonly #keeps: boolean;
  readonly #heldDtype: Tuning["preparedDtype"];

  private constructor(
    gpu: Gpu,
    tensors: readonly Merged[],
    count: number,
    { groups, columns, offload, preparedDtype }: MergedOptions,
  ) {
    this.#gpu = gpu;
    this.#groups = groups;
    this.#columns = columns;
    this.#tensors = tensors;
    this.#count = count;
    this.#keeps = !offload;
    this.#heldDtype = preparedDtype;
    this.#partials = gpu.buffer(Math.max(16, 4 * count), "partial sums of coefficients");
  }

  /** Tensors that the model does not compute with are left out: no gradient reaches them. */
  static async make(model: Model, options: MergedOptions): Promise<MergedWeights> {
    const { gpu } = model;
    const targets = new Map(model.stored.map((stored) => [stored.name, stored]));
    const parts = options.groups.flatMap(({ tasks }, group) =>
      tasks.map((task) => ({ group, inputs: inputsOf(gpu, task, options) })),
    );
    const prepared = gpu.dry ? undefined : await options.prepare?.(parts.map(({ inputs }) => inputs));
    let count = 0;
    const tensors: Merged[] = [];
    for (const { group, inputs } of parts) {
      const target = targets.get(inputs.name);
      if (!target?.parameter.trainable) {
        await inputs.close();
        continue;
      }
      const terms = gpu.buffer(4 * WORDS * inputs.count, `${inputs.name} coefficients`);
      const prepare = await prepared?.(inputs);
      tensors.push({ inputs, group, target, terms, first: count, prepare, held: new Map() });
      count += inputs.count * inputs.ranges.reduce((sum, { length }) => sum + spansOf(length), 0);
    }
    return new MergedWeights(gpu, tensors, count, options);
  }

  /** Visits the chunks of a tensor, ready to be multiplied. */
  async #each(tensor: Merged, visit: (chunk: Chunk, prepared: Prepared) => Promise<void>): Promise<void> {
    const { inputs, held, prepare } = tensor;
    if (held.size === inputs.chunkCount) {
      for (const [index, range] of inputs.ranges.entries()) {
        const prepared = held.get(index)!;
        const { stack, pitch } = prepared;
        await visit({ index, ...range, n4: Math.ceil(range.length / 4), pitch, stack }, prepared);
      }
      return;
    }
    await inputs.each(async (chunk) => {
      const plain = { stack: chunk.stack, dtype: inputs.dtype, pitch: chunk.pitch, free: () => {} };
      const prepared = prepare ? await prepare(chunk) : plain;
      if (!this.#keeps) {
        await visit(chunk, prepared);
        return prepared.free();
      }
      const kept = prepare ? prepared : copied(this.#gpu, inputs, chunk);
      held.set(chunk.index, kept);
      await visit(chunk, kept);
    });
  }

  /** Writes the weights for these coefficients, (groups, models). Throws RangeError for another number of them. */
  async refresh(coefficients: Float64Array): Promise<void> {
    const { count } = this.#columns;
    if (coefficients.length !== this.#groups.length * count)
      throw new RangeError(`${coefficients.length} coefficients for ${this.#groups.length} x ${count}`);
    const gpu = this.#gpu;
    for (const tensor of this.#tensors) {
      const { inputs, group, target, terms } = tensor;
      const words = new Float32Array(WORDS * inputs.count);
      for (const [k, place] of this.#columns.of(inputs.task).entries())
        words[WORDS * k] = coefficients[group * count + place]!;
      gpu.write(terms.buffer, 0, new Uint8Array(words.buffer));
      await this.#each(tensor, async (chunk, { stack, dtype, pitch }) => {
        const kernel = await gpu.kernel("merge/add-task-vectors", { flags: inFlag(dtype) });
        const write = (result: Bound) =>
          gpu.run(kernel, {
            bind: { stack, terms: terms.buffer, result },
            params: { n4: chunk.n4, pitch, k: inputs.count, start: chunk.start, base_scale: 1 },
            groups: spanGroups(chunk.n4),
          });
        const { parameter } = target;
        const at = target.start + chunk.start;
        const whole = chunk.length % 4 === 0 || at + chunk.length === parameter.size;
        if (whole && at % 64 === 0) return write({ buffer: parameter.buffer, offset: 4 * at, size: 16 * chunk.n4 });
        using aside = gpu.buffer(16 * chunk.n4, `${inputs.name} merged`);
        write({ buffer: aside.buffer, offset: 0, size: 16 * chunk.n4 });
        gpu.copy(aside.buffer, 0, parameter.buffer, 4 * at, 4 * chunk.length);
      });
    }
  }

  /** Gradients of all coefficients, (groups, models), from those that the weights have now. */
  async gradients(): Promise<Float64Array> {
    const gpu = this.#gpu;
    for (const tensor of this.#tensors) {
      const { inputs, target } = tensor;
      let { first } = tensor;
      await this.#each(tensor, async (chunk, { stack, dtype, pitch }) => {
        const kernel = await gpu.kernel("merge/gradient-dots", { flags: inFlag(dtype) });
        const run = (gradient: Bound) =>
          gpu.run(kernel, {
            bind: { stack, gradient, partials: this.#partials.buffer },
            params: { n: chunk.length, pitch, k: inputs.count, first },
            groups: spanGroups(chunk.n4, REDUCE_SPAN),
          });
        const at = target.start + chunk.start;
        const { gradient } = target.parameter;
        if (at % 64 === 0) run({ buffer: gradient, offset: 4 * at, size: 16 * chunk.n4 });
        else {
          using aside = gpu.buffer(16 * chunk.n4, `${inputs.name} gradient`);
          gpu.copy(gradient, 4 * at, aside.buffer, 0, 4 * chunk.length);
          run({ buffer: aside.buffer, offset: 0, size: 16 * chunk.n4 });
        }
        first += inputs.count * spansOf(chunk.length);
      });
    }
    return this.#folded(await gpu.readFloats(this.#partials.buffer, this.#count));
  }

  #folded(partials: Float32Array): Float64Array {
    const { count } = this.#columns;
    const sums = new Float64Array(this.#groups.length * count);
    for (const { inputs, group, first } of this.#tensors) {
      const spans = inputs.ranges.reduce((sum, { length }) => sum + spansOf(length), 0);
      const places = this.#columns.of(inputs.task);
      for (let i = 0; i < spans * inputs.count; i++)
        sums[group * count + places[i % inputs.count]!]! += partials[first + i]!;
    }
    return sums;
  }

  /** Bytes of the inputs when they stay. */
  get inputBytes(): number {
    if (!this.#keeps) return 0;
    return this.#tensors.reduce((sum, { inputs }) => {
      const slots = inputs.ranges.map(({ length }) => paddedBytes(length, this.#heldDtype ?? inputs.dtype));
      return sum + inputs.slots * slots.reduce((a, b) => a + b, 0);
    }, 0);
  }

  /** Bytes of the chunks at work, at most. */
  get workBytes(): number {
    return Math.max(0, ...this.#tensors.map(({ inputs }) => footprint(inputs.layout, 0)));
  }

  async free(): Promise<void> {
    for (const { inputs, terms, held } of this.#tensors) {
      for (const one of held.values()) one.free();
      terms.free();
      await inputs.close();
    }
    this.#partials.free();
  }
}

const inputsOf = (gpu: Gpu, task: Group["tasks"][number], { settings, valuesOf }: MergedOptions): TensorInputs =>
  new TensorInputs({ gpu, task, values: valuesOf(task), settings, passes: "one" });

/** The chunk in memory of its own. */
function copied(gpu: Gpu, inputs: TensorInputs, { stack, pitch, length }: Chunk): Prepared {
  const bytes = inputs.slots * paddedBytes(length, inputs.dtype);
  const own = gpu.buffer(bytes, `${inputs.name} inputs`);
  gpu.copy(stack, 0, own.buffer, 0, bytes);
  return { stack: own.buffer, dtype: inputs.dtype, pitch, free: () => own.free() };
}
