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
import type { Chunk } from "./chunks.ts";
import type { MergeJob } from "./tensor-job.ts";

/** f32 values of K tensors, `pitch` vectors of four apart. `using` gives the memory back. */
export interface SideStack extends Disposable {
  readonly buffer: GPUBuffer;
  readonly pitch: number;
}

/** Opened checkpoints by the reference that names them. Closed by `using`. */
export class SideInputs implements Disposable {
  readonly #checkpoints: ReadonlyMap<string, Checkpoint>;

  constructor(checkpoints: ReadonlyMap<string, Checkpoint>) {
    this.#checkpoints = checkpoints;
  }

  /**
   * The tensor of `job` in the checkpoint named `ref`, by the output's name or by the name that model `k` has for it; undefined
   * when there is none. Throws a UserError when it has another shape or is not a float.
   */
  find(job: Pick<MergeJob, "name" | "shape" | "task">, k: number, ref: string): TensorEntry | undefined {
    const checkpoint = this.#checkpoints.get(ref);
    if (!checkpoint) throw new RangeError(`${ref} is not opened`);
    const model = job.task.models[k]!;
    const entry = checkpoint.tensors.get(job.name) ?? checkpoint.tensors.get(model.name);
    if (!entry) return undefined;
    if (entry.shape.length !== job.shape.length || entry.shape.some((n, axis) => n !== job.shape[axis])) {
      throw new UserError(
        `${job.name} is (${job.shape.join(", ")}) in the models but (${entry.shape.join(", ")}) in ${ref}`,
        "this file belongs to another model",
      );
    }
    if (!isFloat(entry.dtype)) {
      throw new UserError(`${job.name} is ${entry.dtype} in ${ref}; expected a float type`, "give a file of floats");
    }
    return entry;
  }

  [Symbol.dispose](): void {
    for (const checkpoint of this.#checkpoints.values()) checkpoint.close();
  }
}

/** Opens every checkpoint that is named. `what` says what they are for, in messages. A stream is refused: it is read twice. */
export async function openSideInputs(refs: Iterable<string>, what: string): Promise<SideInputs> {
  const checkpoints = new Map<string, Checkpoint>();
  const inputs = new SideInputs(checkpoints);
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

/** Loads the part of `entries` that belongs to a chunk, as f32, in slots of its own; an absent entry leaves its slot undefined. */
export async function loadSide<V>(
  job: MergeJob<V>,
  chunk: Pick<Chunk, "start" | "length">,
  entries: readonly (TensorEntry | undefined)[],
): Promise<SideStack> {
  const slotBytes = paddedBytes(chunk.length, "F32");
  const held: PooledBuffer = job.gpu.buffer(slotBytes * entries.length, `${job.name} side inputs`);
  try {
    await Promise.all(
      entries.map(
        (entry, slot) =>
          entry && loadRange(job.gpu, entry, chunk.start, chunk.length, "F32", held.buffer, slot * slotBytes),
      ),
    );
  } catch (error) {
    held.free();
    throw error;
  }
  return { buffer: held.buffer, pitch: slotBytes / 16, [Symbol.dispose]: () => held.free() };
}
