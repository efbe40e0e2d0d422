/** Many chunks at work at a time within a bound of memory, started in order. */
import type { TensorEntry } from "../checkpoint/checkpoint.ts";
import type { Adapter } from "../gpu/device.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { isOperand, type OperandDtype } from "../tensor/load.ts";
import { sizeOf } from "../tensor/tensor.ts";

/** Values per chunk: large enough to amortise a submit; on a software driver small enough for the processor's cache. */
const CHUNK_VALUES = { gpu: 4 << 20, cpu: 1 << 20, host: 1 << 18 };

/** Chunks at a time: one loads, one computes, one comes back, and the disk is never idle. */
export const AT_ONCE = 4;

/** Loads its data, and resolves to what is left to do with them: compute and read back. */
export type Task = () => Promise<() => Promise<void>>;

/**
 * Runs tasks, at most `AT_ONCE` unfinished. With `inOrder` each has loaded before the next starts, as a pipe needs that
 * can only be read in its order. Rejects with the first failure once everything that was started has ended.
 */
export async function inFlight(
  tasks: Iterable<Task> | AsyncIterable<Task>,
  inOrder: boolean,
  signal?: AbortSignal,
): Promise<void> {
  const running = new Set<Promise<void>>();
  let failure: { error: unknown } | undefined;
  try {
    for await (const task of tasks) {
      while (running.size >= AT_ONCE) await Promise.race(running);
      if (failure || signal?.aborted) break;
      const loading = task();
      const whole = loading
        .then((rest) => rest())
        .catch((error) => {
          failure ??= { error };
        });
      running.add(whole);
      whole.then(() => running.delete(whole));
      if (inOrder) await loading.catch(() => {});
    }
  } catch (error) {
    failure ??= { error }; // no adapter, say; what runs already ends first
  }
  await Promise.all(running);
  if (failure) throw failure.error;
  signal?.throwIfAborted();
}

/** A range of a flattened tensor, in values. */
export interface Range {
  readonly start: number;
  readonly length: number;
}

/** Cuts tensors of one shape into chunks. An adapter's change is applied to whole rows. */
export function rangesOf(entries: readonly TensorEntry[], chunkValues: number): Range[] {
  const [first] = entries;
  const size = sizeOf(first!.shape);
  const columns = entries.some(({ patch }) => patch) ? Math.max(1, first!.shape.at(-1) ?? 1) : 1;
  const step = Math.max(1, Math.floor(chunkValues / columns)) * columns;
  return Array.from({ length: Math.ceil(size / step) }, (_, i) => ({
    start: i * step,
    length: Math.min(step, size - i * step),
  }));
}

/**
 * A task for every range. `done` gets what all have found, in the order of the tensor and not of arrival, when the last
 * has come back; at once when there is no range.
 */
export function tasksOf<T>(
  ranges: readonly Range[],
  load: (range: Range) => Promise<() => Promise<T>>,
  done: (parts: readonly T[]) => void,
): Task[] {
  const parts: T[] = [];
  let left = ranges.length;
  if (left === 0) done(parts);
  return ranges.map((range, index) => async () => {
    const compute = await load(range);
    return async () => {
      parts[index] = await compute();
      if (--left === 0) done(parts);
    };
  });
}

/** Values per chunk on an adapter, or on the host without one. */
export function chunkValuesOf(adapter: Pick<Adapter, "type"> | undefined): number {
  if (!adapter) return CHUNK_VALUES.host;
  return CHUNK_VALUES[adapter.type === "cpu" ? "cpu" : "gpu"];
}

/** The type in which kernels read tensors of these types: their own if it is one, else f32. */
export function operandOf(entries: readonly TensorEntry[]): OperandDtype {
  const [{ dtype }] = entries as [TensorEntry];
  return isOperand(dtype) && entries.every((entry) => entry.dtype === dtype) ? dtype : "F32";
}

/** Opens the GPU when the first tensor asks for it, so that what needs none works without a driver. */
export type GpuSource = () => Promise<Gpu>;

/** 2^e as the kernels scale by it: the power of two at or below a magnitude, given by its bits. */
export const unitOf = (bits: number): number => 2 ** (Math.min(bits >>> 23, 253) - 127);
