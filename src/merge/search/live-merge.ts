/**
 * A merge into the live weights of a model: its inputs stay on the device where they fit, results never leave it. So a
 * trial of a search costs its kernels, where a process would load, merge, write and load again.
 */
import type { Checkpoint, TensorEntry } from "../../checkpoint/checkpoint.ts";
import { DTYPE_BYTES } from "../../checkpoint/dtype.ts";
import type { PooledBuffer } from "../../gpu/buffer.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import type { Model } from "../../model/model.ts";
import { cropEntry } from "../../tensor/crop.ts";
import { convertValues, isOperand, loadRange, type OperandDtype, paddedBytes } from "../../tensor/load.ts";
import type { Parameter } from "../../tensor/parameter.ts";
import { dropResident, keepResident, residentBytes } from "../../tensor/resident.ts";
import { sizeOf } from "../../tensor/tensor.ts";
import type { MergeMethod } from "../contract.ts";
import type { Range } from "../job/chunk-sizes.ts";
import type { DeviceSink } from "../job/ordered-writer.ts";
import { mergeTensors } from "../job/run.ts";
import { entriesOf, type JobSettings, type ValuedTask } from "../job/task.ts";
import type { MergePlan } from "../plan/merge-plan.ts";

const PIECE = 4 << 20; // values of an input that is copied

/**
 * What a plan makes, as a checkpoint that a model can be loaded from: the values are those of the first input where its
 * shape fits, else zeros, until a merge replaces them.
 */
export function standingCheckpoint(plan: MergePlan): Checkpoint {
  const tensors = plan.tensors.map((task): TensorEntry => {
    const { name, shape, outDtype: dtype } = task;
    const source = entriesOf(task)[0]!;
    const bytes = sizeOf(shape) * DTYPE_BYTES[dtype];
    if (source.dtype === dtype && source.shape.join() === shape.join() && !source.patch)
      return { name, dtype, shape, bytes, read: (into, offset) => source.read(into, offset) };
    return { name, dtype, shape, bytes, read: async (into) => void into.fill(0) };
  });
  return {
    ref: "the merged model",
    kind: "file",
    tensors: new Map(tensors.map((entry) => [entry.name, entry])),
    files: plan.files,
    lineage: [],
    headerSha256: "",
    close() {},
  };
}

/** A place in a model's weights. */
interface Target {
  readonly parameter: Parameter;
  readonly start: number;
}

/** Tasks with what they crop cut beforehand, so that their entries are the same in every trial. */
function cropped(task: ValuedTask): ValuedTask {
  const { crop, base, models, ...rest } = task;
  if (!crop) return task;
  const cut = (entry: TensorEntry) => cropEntry(entry, crop.rows, crop.columns);
  return { ...rest, ...(base && { base: cut(base) }), models: models.map(cut) };
}

/** Inputs of tensors that are merged, each once. */
const inputsOf = (tasks: readonly ValuedTask[]): TensorEntry[] => [
  ...new Set(tasks.filter(({ kind }) => kind === "merge").flatMap(entriesOf)),
];

/** Device bytes of the inputs of a plan, where they all stay. */
export const keptBytes = (plan: MergePlan): number =>
  inputsOf(plan.tensors.map(cropped)).reduce((sum, entry) => sum + residentBytes(entry), 0);

export interface LiveOptions {
  readonly gpu: Gpu;
  readonly model: Model;
  readonly plan: MergePlan;
  /** Whether inputs stay on the device; else they are read for every merge. */
  readonly keep: boolean;
  readonly signal: AbortSignal;
}

/** Merges recipes of one plan into one model, again and again. */
export class LiveMerge implements DeviceSink {
  readonly #gpu: Gpu;
  readonly #signal: AbortSignal;
  readonly #targets = new Map<string, Target[]>();
  readonly #tasks: ReadonlyMap<string, ValuedTask>;
  readonly #kept: { entry: TensorEntry; held: PooledBuffer }[] = [];
  #isFirst = true;

  private constructor({ gpu, model, plan, signal }: LiveOptions) {
    this.#gpu = gpu;
    this.#signal = signal;
    for (const { name, parameter, start } of model.stored) {
      const known = this.#targets.get(name) ?? [];
      this.#targets.set(name, [...known, { parameter, start }]);
    }
    this.#tasks = new Map(plan.tensors.map((task) => [task.name, cropped(task)]));
  }

  /** Loads what stays. Memory: the bytes of `keptBytes` on the device, a piece of a tensor on the host. */
  static async open(options: LiveOptions): Promise<LiveMerge> {
    const live = new LiveMerge(options);
    try {
      if (options.keep)
        for (const entry of inputsOf([...live.#tasks.values()])) {
          options.signal.throwIfAborted();
          live.#kept.push({ entry, held: await keepResident(options.gpu, entry) });
        }
      return live;
    } catch (error) {
      live.free();
      throw error;
    }
  }

  /**
   * Merges into the model. `plan` has the tensors of the first one, with other values. Tensors that the model does not
   * hold are left out, and copies are made once.
   */
  async merge(plan: MergePlan, method: MergeMethod, settings: JobSettings): Promise<void> {
    const tasks = plan.tensors.map((task) => ({
      ...this.#tasks.get(task.name)!,
      values: task.values,
      perModel: task.perModel,
    }));
    const isDone = (task: ValuedTask) => this.#targets.has(task.name) && (this.#isFirst || task.kind === "merge");
    await mergeTensors({
      gpu: this.#gpu,
      method,
      tasks: tasks.filter(isDone),
      elsewhere: tasks.filter((task) => !isDone(task)),
      sink: this,
      settings,
      signal: this.#signal,
    });
    this.#isFirst = false;
  }

  /** Puts computed values into the weights, in the type in which they are held. */
  async place(name: string, result: PooledBuffer, range: Range, dtype: OperandDtype): Promise<void> {
    for (const { parameter, start } of this.#targets.get(name) ?? []) {
      const held = parameter.dtype === "bf16" ? "BF16" : "F32";
      if (held === dtype) await this.#write(parameter, start + range.start, result.buffer, range.length);
      else {
        using other = this.#gpu.buffer(paddedBytes(range.length, held), `${name} (as held)`);
        await convertValues(this.#gpu, { from: dtype, to: held }, range.length, result.buffer, {
          buffer: other.buffer,
          offset: 0,
          size: paddedBytes(range.length, held),
        });
        await this.#write(parameter, start + range.start, other.buffer, range.length);
      }
    }
  }

  /** Copies values of the parameter's own type. Pairs of 16 bits that others share go through the host. */
  async #write(parameter: Parameter, at: number, values: GPUBuffer, length: number): Promise<void> {
    const width = parameter.dtype === "bf16" ? 2 : 4;
    const [from, bytes] = [at * width, length * width];
    const isEnd = at + length === parameter.size;
    if (from % 4 === 0 && (bytes % 4 === 0 || isEnd)) {
      this.#gpu.copy(values, 0, parameter.buffer, from, Math.ceil(bytes / 4) * 4);
      return;
    }
    const first = Math.floor(from / 4) * 4;
    const whole = Math.ceil((from + bytes - first) / 4) * 4;
    const before = await this.#gpu.read(parameter.buffer, first, whole, (view) => view.slice());
    before.set(await this.#gpu.read(values, 0, bytes, (view) => view.slice(0, bytes)), from - first);
    this.#gpu.write(parameter.buffer, first, before);
  }

  /** Takes an input as it is. */
  async copy(name: string, entry: TensorEntry): Promise<void> {
    if (!this.#targets.has(name)) return;
    const dtype = isOperand(entry.dtype) ? entry.dtype : "F32";
    const size = sizeOf(entry.shape);
    for (let start = 0; start < size; start += PIECE) {
      const length = Math.min(PIECE, size - start);
      using part = this.#gpu.buffer(paddedBytes(length, dtype), `${name} (copied)`);
      await loadRange(this.#gpu, entry, start, length, dtype, part.buffer, 0);
      await this.place(name, part, { start, length }, dtype);
    }
  }

  free(): void {
    for (const { entry, held } of this.#kept.splice(0)) dropResident(this.#gpu, entry, held);
  }
}
