/**
 * Exact order statistics over many tensors together, in constant memory: digits of the values are counted, most
 * significant first, so three passes find any number of ranks. What top-k-selection.ts does for one tensor in fewer
 * passes, this does for a whole model, and for values that are computed on the way.
 */
import type { Dispatch } from "../../gpu/gpu.ts";
import type { Kernel } from "../../gpu/kernel.ts";
import type { Chunk } from "../job/chunks.ts";
import type { TensorInputs } from "../job/tensor-inputs.ts";

/** A digit to be counted, among the keys of `row` that begin with `prefix`. */
export interface DigitCount {
  readonly row: number;
  readonly mask: number;
  readonly prefix: number;
  readonly shift: number;
}

/** Counts every digit asked for in one pass over the data: 2048 counts each. */
export type CountDigits = (wanted: readonly DigitCount[]) => Promise<Float64Array[]>;

export const BINS = 2048;

/** Shifts of the digits; the last one has 10 bits, of the key's 32. */
const SHIFTS = [21, 10, 0];

/** The f32 value of a key of wgsl/lib/radix.wgsl. */
export function valueOfKey(key: number): number {
  const bits = key >>> 31 === 1 ? key ^ 0x80000000 : ~key;
  return new Float32Array(new Uint32Array([bits >>> 0]).buffer)[0]!;
}

/** The values at ascending `rank` (from 0) of each row, in f32. Three passes. */
export async function orderStatistics(
  wanted: readonly { row: number; rank: number }[],
  count: CountDigits,
): Promise<number[]> {
  const places = wanted.map(({ row, rank }) => ({ row, rank, prefix: 0 }));
  let mask = 0;
  for (const shift of SHIFTS) {
    const bits = shift === 0 ? 10 : 11;
    const digits = new Map<string, DigitCount>();
    for (const { row, prefix } of places) digits.set(`${row} ${prefix}`, { row, prefix, mask, shift });
    const counts = await count([...digits.values()]);
    const byDigit = new Map([...digits.keys()].map((key, i) => [key, counts[i]!]));
    for (const place of places) {
      const histogram = byDigit.get(`${place.row} ${place.prefix}`)!;
      // In the last pass a bin's highest bit belongs to the digit before, and so is the same for all keys counted.
      let bin = 0;
      while (bin < BINS - 1 && place.rank >= histogram[bin]!) place.rank -= histogram[bin++]!;
      place.prefix = (place.prefix | ((bin & (2 ** bits - 1)) * 2 ** shift)) >>> 0;
    }
    mask = (mask | ((2 ** bits - 1) * 2 ** shift)) >>> 0;
  }
  return places.map(({ prefix }) => valueOfKey(prefix));
}

/** A kernel that adds the digits of one model's values in a chunk to `counts`, which begin at 0. */
export interface DigitKernel {
  readonly kernel: Kernel;
  dispatch(chunk: Chunk, model: number, digit: DigitCount, counts: GPUBuffer): Dispatch;
}

/** Counts digits over many tensors. Rows are positions of models in the recipe. */
export function digitCounter<I extends TensorInputs>(
  tensors: readonly I[],
  kernelFor: (inputs: I) => Promise<DigitKernel>,
): CountDigits {
  return async (wanted) => {
    const sums = wanted.map(() => new Float64Array(BINS));
    for (const inputs of tensors) {
      const { kernel, dispatch } = await kernelFor(inputs);
      const used = wanted.flatMap((digit, w) => {
        const model = inputs.task.modelIndex.indexOf(digit.row);
        return model < 0 ? [] : [{ digit, model, sum: sums[w]! }];
      });
      await inputs.reduce(kernel, {
        type: "u32",
        runs: used.length,
        zeroed: true,
        count: () => BINS,
        dispatch: (chunk, counts, run) => dispatch(chunk, used[run]!.model, used[run]!.digit, counts),
        fold: (counts, _, run) => {
          for (const [bin, n] of counts.entries()) used[run]!.sum[bin]! += n;
        },
      });
    }
    return sums;
  };
}

/** Counts digits of the magnitudes of task vectors. */
export function magnitudeDigits(tensors: readonly TensorInputs[]): CountDigits {
  return digitCounter(tensors, async (inputs) => ({
    kernel: await inputs.gpu.kernel("order-statistics/histogram", { flags: inputs.flags() }),
    dispatch: (chunk, model, { mask, prefix, shift }, counts) => ({
      bind: { stack: chunk.stack, counts },
      params: { n: chunk.length, pitch: chunk.pitch, slot: inputs.first + model, mask, prefix, shift },
      groups: inputs.spans(chunk),
    }),
  }));
}

/** Positions of models in the recipe, ascending, each with its number of values over all tensors. */
export function rowSizes(tensors: readonly TensorInputs[]): Map<number, number> {
  const sizes = new Map<number, number>();
  for (const { task, size } of tensors) {
    for (const row of task.modelIndex) sizes.set(row, (sizes.get(row) ?? 0) + size);
  }
  return new Map([...sizes].sort(([a], [b]) => a - b));
}
