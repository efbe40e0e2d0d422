/**
 * Exact order statistics over many tensors together, in constant memory: digits of the values are counted, most significant
 * first, so three passes find any number of ranks. What `select.ts` does for one tensor in fewer passes, this does for a
 * whole model, and for values that are computed on the way.
 */
import type { Chunk } from "../job/chunks.ts";
import type { MergeJob } from "../job/tensor-job.ts";

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

/** Records the kernel that adds the digits of one model's values in a chunk to `counts`. */
export type RecordDigit = (chunk: Chunk, model: number, digit: DigitCount, counts: GPUBuffer) => void;

/**
 * Counts digits over the tensors of `jobs`. Rows are positions of models in the recipe.
 */
export function digitCounter<V>(
  jobs: readonly MergeJob<V>[],
  prepare: (job: MergeJob<V>) => Promise<RecordDigit>,
): CountDigits {
  return async (wanted) => {
    const sums = wanted.map(() => new Float64Array(BINS));
    for (const job of jobs) {
      const record = await prepare(job);
      const used = wanted.flatMap((digit, w) => {
        const model = job.task.modelIndex.indexOf(digit.row);
        return model < 0
          ? []
          : [{ digit, w, model, counts: job.gpu.upload(new Uint32Array(BINS), `${job.name} counts`) }];
      });
      await job.each((chunk) => {
        for (const { digit, model, counts } of used) record(chunk, model, digit, counts.buffer);
      });
      await Promise.all(
        used.map(async ({ w, counts }) => {
          const found = await job.gpu.readWords(counts.buffer, BINS).finally(() => counts.free());
          for (const [bin, n] of found.entries()) sums[w]![bin]! += n;
        }),
      );
    }
    return sums;
  };
}

/** Counts digits of the magnitudes of task vectors. */
export function magnitudeDigits<V>(jobs: readonly MergeJob<V>[]): CountDigits {
  return digitCounter(jobs, async (job) => {
    const kernel = await job.gpu.kernel("order-statistics/histogram", { flags: job.flags() });
    return (chunk, model, { mask, prefix, shift }, counts) =>
      job.gpu.run(kernel, {
        bind: { stack: chunk.stack, counts },
        params: { n: chunk.length, pitch: chunk.pitch, slot: job.first + model, mask, prefix, shift },
        groups: job.spans(chunk),
      });
  });
}

/** Positions of models in the recipe, ascending, each with its number of values over all jobs. */
export function rowSizes(jobs: readonly MergeJob[]): Map<number, number> {
  const sizes = new Map<number, number>();
  for (const job of jobs) {
    for (const row of job.task.modelIndex) sizes.set(row, (sizes.get(row) ?? 0) + job.size);
  }
  return new Map([...sizes].sort(([a], [b]) => a - b));
}
