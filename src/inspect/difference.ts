/**
 * How far two tensors of one shape are apart, in one pass over both: on the GPU for float types up to 32 bits, on the
 * host in double precision where one is F64, and for integers and BOOL only whether and where they differ.
 */

import type { TensorEntry } from "../checkpoint/checkpoint.ts";
import { DTYPE_BYTES, isFloat } from "../checkpoint/dtype.ts";
import type { PooledBuffer } from "../gpu/buffer.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { SPAN, spanGroups } from "../gpu/grid.ts";
import { inFlag, isOperand, loadRange, type OperandDtype, paddedBytes } from "../tensor/load.ts";
import { differingElements, hostValues } from "./host.ts";
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
import { onGpu } from "./statistics.ts";

/** Sums over the pairs of finite values. Those of several tensors add up. */
export interface Gap {
  values: number;
  dd: number;
  aa: number;
  ab: number;
  bb: number;
  absMax: number;
  /** Values that differ in any bit; for two types, once both are f32. */
  differing: number;
  /** Pairs with a NaN or an infinity, which the sums leave out. */
  nonfinite: number;
}

export const emptyGap = (): Gap => ({
  values: 0,
  dd: 0,
  aa: 0,
  ab: 0,
  bb: 0,
  absMax: 0,
  differing: 0,
  nonfinite: 0,
});

/** What is shown of a pair. */
export interface Difference {
  /** |a - b| / |b|; null when only b is zero. */
  readonly distance: number | null;
  /** null when one of them is zero. */
  readonly cosine: number | null;
  readonly abs_max: number;
  readonly differing: number;
  readonly nonfinite: number;
}

export function differenceOf({ dd, aa, ab, bb, absMax, differing, nonfinite }: Gap): Difference {
  const known = aa > 0 && bb > 0;
  return {
    distance: dd === 0 ? 0 : bb > 0 ? Math.sqrt(dd / bb) : null,
    // Square roots apart: a product of two sums may overflow where the cosine does not.
    cosine: known ? Math.min(1, Math.max(-1, ab / (Math.sqrt(aa) * Math.sqrt(bb)))) : null,
    abs_max: absMax,
    differing,
    nonfinite,
  };
}

export function addGap(into: Gap, part: Gap): void {
  for (const key of ["values", "dd", "aa", "ab", "bb", "differing", "nonfinite"] as const) into[key] += part[key];
  into.absMax = Math.max(into.absMax, part.absMax);
}

function gapOf(words: Uint32Array, length: number): Gap {
  const gap = emptyGap();
  gap.values = length;
  const floats = new Float32Array(words.buffer, words.byteOffset, words.length);
  for (let at = 0; at < words.length; at += 8) {
    const [a, b, d] = [unitOf(words[at + 4]!), unitOf(words[at + 5]!), 2 * unitOf(words[at + 6]!)];
    gap.dd += floats[at]! * d * d;
    gap.aa += floats[at + 1]! * a * a;
    gap.ab += floats[at + 2]! * a * b;
    gap.bb += floats[at + 3]! * b * b;
    gap.absMax = Math.max(gap.absMax, 2 * floats[at + 6]!);
    gap.differing += words[at + 7]! & 0xffff;
    gap.nonfinite += words[at + 7]! >>> 16;
  }
  return gap;
}

/** The difference of `length` values in two buffers of operands, padded with zeros to whole vectors of four. */
export async function gapOnGpu(
  gpu: Gpu,
  left: GPUBuffer,
  right: GPUBuffer,
  dtype: OperandDtype,
  length: number,
): Promise<Gap> {
  const n4 = Math.ceil(length / 4);
  const spans = Math.ceil(n4 / SPAN);
  const kernel = await gpu.kernel("inspect/difference", { flags: inFlag(dtype) });
  using partials = gpu.buffer(32 * spans, "difference");
  gpu.run(kernel, { bind: { left, right, partials: partials.buffer }, params: { n4 }, groups: spanGroups(n4) });
  return gapOf(await gpu.readWords(partials.buffer, 8 * spans), length);
}

/** The difference of values on the host, in double precision. `differing` is left at 0. */
export function gapOnHost(a: ArrayLike<number>, b: ArrayLike<number>): Gap {
  const gap = emptyGap();
  gap.values = a.length;
  for (let i = 0; i < a.length; i++) {
    const [x, y] = [a[i]!, b[i]!];
    if (!Number.isFinite(x) || !Number.isFinite(y)) {
      gap.nonfinite++;
      continue;
    }
    gap.dd += (x - y) ** 2;
    gap.aa += x * x;
    gap.ab += x * y;
    gap.bb += y * y;
    gap.absMax = Math.max(gap.absMax, Math.abs(x - y));
  }
  return gap;
}

async function bytesOf(entry: TensorEntry, { start, length }: Range): Promise<Uint8Array> {
  const width = DTYPE_BYTES[entry.dtype];
  const bytes = new Uint8Array(length * width);
  await entry.read(bytes, start * width);
  return bytes;
}

/** A tensor whose range was read already. */
const heldEntry = (entry: TensorEntry, { start }: Range, bytes: Uint8Array): TensorEntry => ({
  ...entry,
  async read(into, offset) {
    const at = offset - start * DTYPE_BYTES[entry.dtype];
    into.set(bytes.subarray(at, at + into.length));
  },
});

type Pair = readonly [TensorEntry, TensorEntry];

async function onDevice(gpu: Gpu, pair: Pair, range: Range): Promise<() => Promise<Gap>> {
  const dtype = operandOf(pair);
  // F8 is widened before it is compared, which may make all NaNs one: bytes are compared here.
  const narrow = pair[0].dtype === pair[1].dtype && !isOperand(pair[0].dtype) && pair.every(({ patch }) => !patch);
  const bytes = narrow ? await Promise.all(pair.map((entry) => bytesOf(entry, range))) : undefined;
  const entries = bytes ? pair.map((entry, i) => heldEntry(entry, range, bytes[i]!)) : pair;
  const held: PooledBuffer[] = [];
  const free = () => {
    for (const buffer of held) buffer.free();
  };
  try {
    for (const { name } of pair) held.push(gpu.buffer(paddedBytes(range.length, dtype), `${name} chunk`));
    const loads = entries.map((entry, i) =>
      loadRange(gpu, entry, range.start, range.length, dtype, held[i]!.buffer, 0),
    );
    const failed = (await Promise.allSettled(loads)).find((load) => load.status === "rejected");
    if (failed) throw failed.reason;
  } catch (error) {
    free();
    throw error;
  }
  return async () => {
    try {
      const gap = await gapOnGpu(gpu, held[0]!.buffer, held[1]!.buffer, dtype, range.length);
      if (bytes) gap.differing = differingElements(bytes[0]!, bytes[1]!, pair[0].dtype);
      return gap;
    } finally {
      free();
    }
  };
}

async function onHost([a, b]: Pair, range: Range): Promise<() => Promise<Gap>> {
  const [left, right] = await Promise.all([bytesOf(a, range), bytesOf(b, range)]);
  return async () => {
    const [x, y] = [hostValues(left, a.dtype), hostValues(right, b.dtype)];
    const gap = isFloat(a.dtype) && isFloat(b.dtype) ? gapOnHost(x, y) : { ...emptyGap(), values: range.length };
    if (a.dtype === b.dtype) gap.differing = differingElements(left, right, a.dtype);
    else for (let i = 0; i < range.length; i++) if (!Object.is(x[i], y[i])) gap.differing++;
    return gap;
  };
}

/** The work of one pair of equal shape as tasks for `inFlight`, as `statisticsTasks` does for one tensor. */
export async function differenceTasks(
  source: GpuSource,
  pair: Pair,
  done: (gap: Gap) => void,
  chunkValues?: number,
): Promise<Task[]> {
  const plain = pair.every((entry) => !entry.patch);
  const device = plain ? pair.every(onGpu) : pair.every(({ dtype }) => isFloat(dtype));
  const gpu = device ? await source() : undefined;
  const ranges = rangesOf(pair, chunkValues ?? chunkValuesOf(gpu?.adapter));
  return tasksOf(
    ranges,
    (range) => (gpu ? onDevice(gpu, pair, range) : onHost(pair, range)),
    (parts) => {
      const total = emptyGap();
      for (const part of parts) addGap(total, part);
      done(total);
    },
  );
}
