/**
 * Further checkpoints beside the models of a merge, one per model: statistics of a model, or where its training began.
 *
 * They are named by per-model options, opened once in a method's survey, and read chunk by chunk like the models.
 */
import type { Checkpoint, TensorEntry } from "../../checkpoint/checkpoint.ts";
import { isFloat } from "../../checkpoint/dtype.ts";
import { open } from "../../checkpoint/open.ts";
import { UserError } from "../../errors.ts";
import type { PooledBuffer } from "../../gpu/buffer.ts";
import { loadRange, paddedBytes } from "../../tensor/load.ts";
import type { Range } from "./chunk-sizes.ts";
import type { TensorInputs } from "./tensor-inputs.ts";

/**
 * An expert's tensor out of a stack of all of them, as statistics of a model hold it: row 3 of `mlp.experts.up_proj`
 * for `mlp.experts.3.up_proj.weight`. Undefined where there is no such stack.
 */
function partOfStack(
  tensors: Checkpoint["tensors"],
  name: string,
): { readonly entry: TensorEntry; readonly of: string } | undefined {
  const [, before, index, matrix] = /^(.+\.experts)\.(\d{1,5})\.(.+)\.weight$/.exec(name) ?? [];
  const stack = before === undefined ? undefined : tensors.get(`${before}.${matrix}`);
  const [parts = 0, ...shape] = stack?.shape ?? [];
  if (!stack || stack.patch || Number(index) >= parts) return undefined;
  const bytes = stack.bytes / parts;
  const start = Number(index) * bytes;
  const read: TensorEntry["read"] = (into, offset) => stack.read(into, start + offset);
  return { entry: { name, dtype: stack.dtype, shape, bytes, read }, of: stack.name };
}

/** f32 values of K tensors, `pitch` vectors of four apart. `using` gives the memory back. */
export interface ExtraStack extends Disposable {
  readonly buffer: GPUBuffer;
  readonly pitch: number;
}

/** Opened checkpoints by the reference that names them. Closed by `using`. */
export class ExtraCheckpoints implements Disposable {
  readonly #checkpoints: ReadonlyMap<string, Checkpoint>;
  readonly #found = new Map<string, Set<string>>();

  constructor(checkpoints: ReadonlyMap<string, Checkpoint>) {
    this.#checkpoints = checkpoints;
  }

  /**
   * The tensor of `job` in the checkpoint named `ref`, by the output's name or by the name that model `k` has for it;
   * undefined when there is none. Throws a UserError when it has another shape or is not a float. `as`: what is looked
   * for in its place, by a name that is made of its name, and in another shape.
   */
  find(
    { name, shape: own, task }: Pick<TensorInputs, "name" | "shape" | "task">,
    k: number,
    ref: string,
    as: { readonly named?: (name: string) => string; readonly shape?: readonly number[] } = {},
  ): TensorEntry | undefined {
    const { named = (same) => same, shape = own } = as;
    const checkpoint = this.#checkpoints.get(ref);
    if (!checkpoint) throw new RangeError(`${ref} is not opened`);
    const model = task.models[k]!;
    const { tensors } = checkpoint;
    const [found] = [name, model.name].map(named).flatMap((known) => {
      const whole = tensors.get(known);
      return whole ? [{ entry: whole, of: known }] : (partOfStack(tensors, known) ?? []);
    });
    if (!found) return undefined;
    const { entry, of } = found;
    this.#found.set(ref, (this.#found.get(ref) ?? new Set()).add(of));
    if (entry.shape.length !== shape.length || entry.shape.some((n, axis) => n !== shape[axis])) {
      throw new UserError(
        shape === own
          ? `${name} is (${shape.join(", ")}) in the models but (${entry.shape.join(", ")}) in ${ref}`
          : `${name} has (${entry.shape.join(", ")}) in ${ref}; expected (${shape.join(", ")})`,
        "this file belongs to another model",
      );
    }
    if (!isFloat(entry.dtype)) {
      throw new UserError(`${name} is ${entry.dtype} in ${ref}; expected a float type`, "give a file of floats");
    }
    return entry;
  }

  /** Tensors of floats that were never found, with the reference of their checkpoint. */
  unused(): { readonly ref: string; readonly name: string }[] {
    return [...this.#checkpoints].flatMap(([ref, { tensors }]) =>
      [...tensors.values()].flatMap(({ name, dtype }) =>
        isFloat(dtype) && !this.#found.get(ref)?.has(name) ? [{ ref, name }] : [],
      ),
    );
  }

  [Symbol.dispose](): void {
    for (const checkpoint of this.#checkpoints.values()) checkpoint.close();
  }
}

/**
 * Opens every checkpoint that is named. `what` says what they are for, in messages. A stream is refused: it is read
 * twice.
 */
export async function openExtraCheckpoints(refs: Iterable<string>, what: string): Promise<ExtraCheckpoints> {
  const checkpoints = new Map<string, Checkpoint>();
  const inputs = new ExtraCheckpoints(checkpoints);
  try {
    for (const ref of new Set(refs)) {
      const checkpoint = await open(ref);
      checkpoints.set(ref, checkpoint);
      if (checkpoint.kind === "stream") {
        throw new UserError(`${ref} is a stream; ${what} are read more than once`, "save it to a file first");
      }
    }
    return inputs;
  } catch (error) {
    inputs[Symbol.dispose]();
    throw error;
  }
}

/**
 * Loads the part of `entries` that lies in a range, as f32, one slot per entry; the slot of an absent entry holds
 * anything.
 */
export async function loadExtra(
  inputs: TensorInputs,
  range: Range,
  entries: readonly (TensorEntry | undefined)[],
): Promise<ExtraStack> {
  const slotBytes = paddedBytes(range.length, "F32");
  const held: PooledBuffer = inputs.gpu.buffer(slotBytes * entries.length, `${inputs.name} extra inputs`);
  try {
    await Promise.all(
      entries.map(
        (entry, slot) =>
          entry && loadRange(inputs.gpu, entry, range.start, range.length, "F32", held.buffer, slot * slotBytes),
      ),
    );
  } catch (error) {
    held.free();
    throw error;
  }
  return { buffer: held.buffer, pitch: slotBytes / 16, [Symbol.dispose]: () => held.free() };
}
