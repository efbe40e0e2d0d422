/**
 * Statistics of tensors in one pass over their bytes: on the GPU for float types up to 32 bits, on the host in double
 * precision for F64, and on the host for integers and BOOL, which have a smallest and a largest value instead of a
 * mean.
 */

import type { TensorEntry } from "../checkpoint/checkpoint.ts";
import { DTYPE_BYTES, isFloat } from "../checkpoint/dtype.ts";
import type { PooledBuffer } from "../gpu/buffer.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { SPAN, spanGroups } from "../gpu/grid.ts";
import { inFlag, loadRange, type OperandDtype, paddedBytes } from "../tensor/load.ts";
import { hostValues } from "./host.ts";
import {
  chunkValuesOf,
  type GpuSource,
  operandOf,
  type Range,
  rangesOf,
  type Task,
  tasksOf,
  unitOf,
} from "./in-flight-reads.ts";

/** Sums over the finite values, and counts over all. Those of several tensors add up. */
export interface Tally {
  values: number;
  sum: number;
  squares: number;
  absMax: number;
  nan: number;
  inf: number;
  zeros: number;
  /** Over the finite values; kept for integers and BOOL only. */
  min: number;
  max: number;
  integer: boolean;
}

export const emptyTally = (integer = false): Tally => ({
  values: 0,
  sum: 0,
  squares: 0,
  absMax: 0,
  nan: 0,
  inf: 0,
  zeros: 0,
  min: Number.POSITIVE_INFINITY,
  max: Number.NEGATIVE_INFINITY,
  integer,
});

/** What is shown of a tensor. `null` where no value is finite. Counts are exact. */
export interface Statistics {
  readonly mean: number | null;
  readonly rms: number | null;
  readonly abs_max: number | null;
  readonly nan: number;
  readonly inf: number;
  readonly zeros: number;
  readonly zero_share: number;
  /** Integers and BOOL only, in place of mean, rms and abs_max. */
  readonly min?: number;
  readonly max?: number;
}

export function statisticsOf(tally: Tally): Statistics {
  const { values, nan, inf, zeros, integer } = tally;
  const finite = values - nan - inf;
  const some = (value: number) => (finite > 0 ? value : null);
  return {
    mean: integer ? null : some(tally.sum / finite),
    rms: integer ? null : some(Math.sqrt(tally.squares / finite)),
    abs_max: integer ? null : some(tally.absMax),
    nan,
    inf,
    zeros,
    zero_share: values > 0 ? zeros / values : 0,
    ...(integer && finite > 0 && { min: tally.min, max: tally.max }),
  };
}

/** Adds `part` to `into`; called in one order, the sums have the same bits every time. */
export function addTally(into: Tally, part: Tally): void {
  for (const key of ["values", "sum", "squares", "nan", "inf", "zeros"] as const) into[key] += part[key];
  into.absMax = Math.max(into.absMax, part.absMax);
  into.min = Math.min(into.min, part.min);
  into.max = Math.max(into.max, part.max);
}

/** Adds the spans of one chunk of `length` values, as inspect/statistics leaves them. */
function tallyOf(words: Uint32Array, length: number): Tally {
  const tally = emptyTally();
  tally.values = length;
  const floats = new Float32Array(words.buffer, words.byteOffset, words.length);
  for (let at = 0; at < words.length; at += 8) {
    const unit = unitOf(words[at + 2]!);
    tally.sum += floats[at]! * unit;
    tally.squares += floats[at + 1]! * unit * unit;
    tally.absMax = Math.max(tally.absMax, floats[at + 2]!);
    tally.nan += words[at + 4]!;
    tally.inf += words[at + 5]!;
    tally.zeros += words[at + 6]!;
  }
  tally.zeros -= Math.ceil(length / 4) * 4 - length; // the padding
  return tally;
}

/** Statistics of `length` values in a buffer of operands, padded with zeros to whole vectors of four. */
export async function tallyOnGpu(gpu: Gpu, values: GPUBuffer, dtype: OperandDtype, length: number): Promise<Tally> {
  const n4 = Math.ceil(length / 4);
  const spans = Math.ceil(n4 / SPAN);
  const kernel = await gpu.kernel("inspect/statistics", { flags: inFlag(dtype) });
  using partials = gpu.buffer(32 * spans, "statistics");
  gpu.run(kernel, { bind: { values, partials: partials.buffer }, params: { n4 }, groups: spanGroups(n4) });
  return tallyOf(await gpu.readWords(partials.buffer, 8 * spans), length);
}

/** Statistics of values on the host, in double precision. */
export function tallyOnHost(values: ArrayLike<number>, integer: boolean): Tally {
  const tally = emptyTally(integer);
  tally.values = values.length;
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    if (Number.isNaN(value)) tally.nan++;
    else if (!Number.isFinite(value)) tally.inf++;
    else {
      if (value === 0) tally.zeros++;
      tally.sum += value;
      tally.squares += value * value;
      tally.absMax = Math.max(tally.absMax, Math.abs(value));
      tally.min = Math.min(tally.min, value);
      tally.max = Math.max(tally.max, value);
    }
  }
  return tally;
}

/** Whether kernels compute with a tensor; an adapter's change is always computed there. */
export const onGpu = ({ dtype, patch }: TensorEntry): boolean =>
  patch !== undefined || (isFloat(dtype) && dtype !== "F64");

async function onDevice(gpu: Gpu, entry: TensorEntry, { start, length }: Range): Promise<() => Promise<Tally>> {
  const dtype = operandOf([entry]);
  const held: PooledBuffer = gpu.buffer(paddedBytes(length, dtype), `${entry.name} chunk`);
  try {
    await loadRange(gpu, entry, start, length, dtype, held.buffer, 0);
  } catch (error) {
    held.free();
    throw error;
  }
  return () => tallyOnGpu(gpu, held.buffer, dtype, length).finally(() => held.free());
}

async function onHost(entry: TensorEntry, { start, length }: Range): Promise<() => Promise<Tally>> {
  const width = DTYPE_BYTES[entry.dtype];
  const bytes = new Uint8Array(length * width);
  await entry.read(bytes, start * width);
  return async () => tallyOnHost(hostValues(bytes, entry.dtype), !isFloat(entry.dtype));
}

/**
 * The work of one tensor as tasks for `inFlight`; `done` gets its tally when the last chunk has come back. Chunks are
 * added in the order of the tensor, not of arrival. Memory: one chunk per task at work.
 */
export async function statisticsTasks(
  source: GpuSource,
  entry: TensorEntry,
  done: (tally: Tally) => void,
  chunkValues?: number,
): Promise<Task[]> {
  const gpu = onGpu(entry) ? await source() : undefined;
  const ranges = rangesOf([entry], chunkValues ?? chunkValuesOf(gpu?.adapter));
  return tasksOf(
    ranges,
    (range) => (gpu ? onDevice(gpu, entry, range) : onHost(entry, range)),
    (parts) => {
      const total = emptyTally(!isFloat(entry.dtype));
      for (const part of parts) addTally(total, part);
      done(total);
    },
  );
}
