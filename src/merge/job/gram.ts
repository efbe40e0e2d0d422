/** Inner products of the inputs of a tensor: what every method that works in their span needs to know of them. */
import { inFlag, LANES, REDUCE_SPAN, spanGroups } from "../../tensor/load.ts";
import type { MergeJob } from "./tensor-job.ts";

export interface GramOptions {
  /** Of the differences from the base. */
  readonly delta?: boolean;
  /** The base counts as an input too, as the first. */
  readonly withBase?: boolean;
}

/** The K x K matrix of inner products, in f64. Partial sums are f32, each over at most 256 values. One pass. */
export async function gramOf<V>(job: MergeJob<V>, { delta, withBase }: GramOptions): Promise<number[][]> {
  const from = withBase ? 0 : job.first;
  const slots = Array.from({ length: job.slots - from }, (_, i) => from + i);
  const pairs: [number, number][] = [];
  for (let i = 0; i < slots.length; i++) for (let j = i + 1; j < slots.length; j++) pairs.push([i, j]);
  if (slots.length === 1) pairs.push([0, 0]);
  const kernel = await job.gpu.kernel("merge/dots", { flags: [...inFlag(job.dtype), ...(delta ? ["delta"] : [])] });
  const reads: Promise<Float32Array>[] = [];
  await job.each((chunk) => {
    const count = Math.ceil(chunk.n4 / REDUCE_SPAN) * LANES;
    for (const [i, j] of pairs) {
      const partials = job.gpu.buffer(16 * count, `${job.name} dots`);
      job.gpu.run(kernel, {
        bind: { stack: chunk.stack, partials: partials.buffer },
        params: { n4: chunk.n4, pitch: chunk.pitch, a: slots[i]!, b: slots[j]!, origin: job.baseSlot },
        groups: spanGroups(chunk.n4, REDUCE_SPAN),
      });
      reads.push(job.gpu.readFloats(partials.buffer, 4 * count).finally(() => partials.free()));
    }
  });
  const gram = slots.map(() => slots.map(() => 0));
  const sums = pairs.map(() => [0, 0, 0]);
  // In the order of the chunks, whatever the order of arrival, so that the sums have the same bits every time.
  for (const [index, partials] of (await Promise.all(reads)).entries()) {
    const sum = sums[index % pairs.length]!;
    for (let s = 0; s < partials.length; s += 4) for (let c = 0; c < 3; c++) sum[c]! += partials[s + c]!;
  }
  for (const [p, [i, j]] of pairs.entries()) {
    const [aa, ab, bb] = sums[p] as [number, number, number];
    gram[i]![i] = aa;
    gram[j]![j] = bb;
    gram[i]![j] = ab;
    gram[j]![i] = ab;
  }
  return gram;
}
