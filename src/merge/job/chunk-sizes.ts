/** How a tensor's inputs are cut into chunks, which of them stay on the device, and what that takes. */
import type { TensorEntry } from "../../checkpoint/checkpoint.ts";
import { DTYPE_BYTES } from "../../checkpoint/dtype.ts";
import type { Adapter } from "../../gpu/device.ts";
import { isOperand, type OperandDtype, paddedBytes } from "../../tensor/load.ts";
import { sizeOf } from "../../tensor/tensor.ts";
import { type ChunkSizes, entriesOf, type MergeTask } from "./task.ts";

/**
 * Values per chunk and input. Large enough to amortise a submit; on a software driver, small enough that a chunk of two
 * models and its result stay in the processor's cache, whose memory is several times slower.
 */
const CHUNK_VALUES = { gpu: 4 << 20, cpu: 1 << 20 };

/**
 * A tensor's inputs stay on the device between passes up to this many bytes. On a software driver reading a file again
 * from the page cache costs less than keeping its bytes in memory that the cache does not hold.
 */
const RESIDENT_BYTES = { gpu: 320 << 20, cpu: 24 << 20 };

/** True when the working dtype cannot hold what an input has. */
export const narrows = (entry: TensorEntry, work: OperandDtype): boolean => work !== "F32" && entry.dtype !== work;

/** The type in which the inputs of a task lie in a stack. */
function stackDtype(entries: readonly TensorEntry[], work: OperandDtype): OperandDtype {
  if (entries.some((entry) => narrows(entry, work))) return work;
  const first = entries[0]!.dtype;
  return isOperand(first) && entries.every((entry) => entry.dtype === first) ? first : "F32";
}

export interface Layout {
  readonly dtype: OperandDtype;
  /** Inputs, the base included. */
  readonly slots: number;
  /** Number of values. */
  readonly size: number;
  /** Length of the last axis and number of such rows; a vector is one row. */
  readonly columns: number;
  readonly rows: number;
  /** Chunks hold whole rows, so that row-wise kernels can work on each alone. */
  readonly wholeRows: boolean;
  readonly chunkLength: number;
  readonly chunkCount: number;
  /** All chunks stay on the device until the job ends. */
  readonly resident: boolean;
}

/** A range of the flattened tensor, in values. */
export interface Range {
  readonly start: number;
  readonly length: number;
}

/** Where chunk `index` lies. */
export function rangeOf({ chunkLength, size }: Pick<Layout, "chunkLength" | "size">, index: number): Range {
  const start = index * chunkLength;
  return { start, length: Math.min(chunkLength, size - start) };
}

/** Device bytes of `length` values of every input. */
export const stackBytes = (layout: Pick<Layout, "slots" | "dtype">, length: number): number =>
  layout.slots * paddedBytes(length, layout.dtype);

/** Cuts a task for an adapter. `passes`: how often its method looks at a value. */
export function layoutOf(
  task: MergeTask,
  passes: "one" | "many",
  adapter: Pick<Adapter, "type" | "limits">,
  sizes: ChunkSizes = {},
): Layout {
  const entries = entriesOf(task);
  const dtype = stackDtype(entries, task.workDtype);
  const slots = entries.length;
  const size = sizeOf(task.shape);
  const columns = task.shape.at(-1) ?? 1;
  const kind = adapter.type === "cpu" ? "cpu" : "gpu";
  const { chunkValues = CHUNK_VALUES[kind], residentBytes = RESIDENT_BYTES[kind] } = sizes;
  const limit = adapter.limits.maxStorageBufferBindingSize ?? 2 ** 27;
  const most = Math.floor(limit / slots / DTYPE_BYTES[dtype] / 64) * 64 - 64;
  const wanted = Math.min(chunkValues, most);
  const wholeRows = columns <= most;
  const chunkLength = wholeRows ? Math.max(1, Math.floor(wanted / Math.max(1, columns))) * columns : wanted;
  return {
    dtype,
    slots,
    size,
    columns,
    rows: columns === 0 ? 0 : size / columns,
    wholeRows,
    chunkLength,
    chunkCount: size === 0 ? 0 : Math.ceil(size / chunkLength),
    resident: passes === "many" && stackBytes({ slots, dtype }, size) <= residentBytes,
  };
}

/**
 * Device bytes that a tensor's job holds at most: its chunks (all of them if resident, else two), outputs and scratch.
 */
export function footprint(layout: Layout, scratchPerValue: number): number {
  const chunk = Math.min(layout.size, layout.chunkLength);
  const stacks = layout.resident ? stackBytes(layout, layout.size) : 2 * stackBytes(layout, chunk);
  // Pooled buffers are up to a quarter larger than asked for.
  return Math.ceil(1.25 * (stacks + scratchPerValue * layout.size + 2 * paddedBytes(chunk, "F32")));
}
