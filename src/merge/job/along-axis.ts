/**
 * Weighted sums whose weights follow from inner products: of whole tensors, of each row, or of each column.
 *
 * What slerp, karcher and model_stock share: the result lies in the span of the inputs, so a small matrix of inner products,
 * worked on in f64 on the host, decides it.
 */
import { SPAN } from "../../tensor/load.ts";
import type { MergeJob } from "./tensor-job.ts";

/** Which vectors of a tensor count as one: all of it, each row (the last axis), or each column (all but the last axis). */
export type Axis = "tensor" | "rows" | "columns";

/** Coefficients of K models from the K x K matrix of inner products of their vectors. */
export type Coefficients = (gram: readonly (readonly number[])[]) => readonly number[];

/**
 * Writes sum_k c_k x_k with c from `coefficients`; with `delta`, of the differences from the base, which is added back:
 * base + sum_k c_k (x_k - base). Two passes.
 */
export async function combineAlong<V>(job: MergeJob<V>, axis: Axis, delta: boolean, coefficients: Coefficients) {
  if (axis === "tensor") {
    return job.combine(coefficients(await job.gram({ delta })), { delta });
  }
  const vectors = axis === "rows" ? job.rows : job.columns;
  const grams = await gramsAlong(job, axis, vectors, delta);
  const table = new Float32Array(vectors * job.slots);
  for (let v = 0; v < vectors; v++) {
    for (const [k, weight] of coefficients(grams(v)).entries()) table[v * job.slots + job.first + k] = weight;
  }
  const held = job.constants(table, "weights of vectors");
  const flags = [...(axis === "rows" ? ["rows"] : []), ...(delta ? ["delta"] : [])];
  await job.emit(async (chunk, result, out) => {
    await job.run("merge/combine-along", { flags: [...job.flags(), ...flags, ...out] }, chunk, {
      bind: { stack: chunk.stack, weights: held, result },
      params: {
        n: chunk.length,
        pitch: chunk.pitch,
        k: job.slots,
        start: chunk.start,
        columns: job.columns,
        first: job.first,
      },
    });
  });
}

/** Inner products of every row or column; memory on the host: 8 bytes per vector and pair. */
async function gramsAlong<V>(job: MergeJob<V>, axis: "rows" | "columns", vectors: number, delta: boolean) {
  if (!job.wholeRows) throw new RangeError(`${job.name}: rows of ${job.columns} values exceed this adapter's bindings`);
  const pairs: [number, number][] = [];
  for (let i = 0; i < job.count; i++) for (let j = i; j < job.count; j++) pairs.push([i, j]);
  const sums = pairs.map(() => new Float64Array(vectors));
  const kernel = await job.gpu.kernel("merge/dots-along", { flags: job.flags(...(delta ? ["delta"] : [])) });
  const reads: Promise<{ first: number; pair: number; dots: Float32Array }>[] = [];
  await job.each((chunk) => {
    const rows = chunk.length / job.columns;
    const inChunk = axis === "rows" ? rows : job.columns;
    const first = axis === "rows" ? chunk.start / job.columns : 0;
    for (const [pair, [i, j]] of pairs.entries()) {
      const dots = job.gpu.buffer(4 * inChunk, `${job.name} dots`);
      job.gpu.run(kernel, {
        bind: { stack: chunk.stack, dots: dots.buffer },
        params: {
          vectors: inChunk,
          length: axis === "rows" ? job.columns : rows,
          vector_step: axis === "rows" ? job.columns : 1,
          value_step: axis === "rows" ? 1 : job.columns,
          pitch: chunk.pitch,
          a: job.first + i,
          b: job.first + j,
        },
        groups: [Math.min(inChunk, SPAN), Math.ceil(inChunk / SPAN)],
      });
      const read = job.gpu.readFloats(dots.buffer, inChunk).finally(() => dots.free());
      reads.push(read.then((values) => ({ first, pair, dots: values })));
    }
  });
  for (const { first, pair, dots } of await Promise.all(reads)) {
    for (const [v, dot] of dots.entries()) sums[pair]![first + v]! += dot;
  }
  return (v: number): number[][] => {
    const gram = Array.from({ length: job.count }, () => Array.from({ length: job.count }, () => 0));
    for (const [pair, [i, j]] of pairs.entries()) {
      gram[i]![j] = sums[pair]![v]!;
      gram[j]![i] = sums[pair]![v]!;
    }
    return gram;
  };
}
