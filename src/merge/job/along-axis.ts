/**
 * Weighted sums whose weights follow from inner products: of whole tensors, of each row, or of each column.
 *
 * What slerp, karcher and model_stock share: the result lies in the span of the inputs, so a small matrix of inner
 * products, worked on in f64 on the host, decides it.
 */
import { foldGroups } from "../../gpu/grid.ts";
import type { Chunk } from "./chunks.ts";
import type { TensorInputs } from "./tensor-inputs.ts";
import type { MergeJob } from "./tensor-job.ts";

/**
 * Which vectors of a tensor count as one: all of it, each row (the last axis), or each column (all but the last axis).
 */
export type Axis = "tensor" | "rows" | "columns";

/** Coefficients of K models from the K x K matrix of inner products of their vectors. */
export type Coefficients = (gram: readonly (readonly number[])[]) => readonly number[];

/**
 * Writes sum_k c_k x_k with c from `coefficients`; with `delta`, of the differences from the base, which is added back:
 * base + sum_k c_k (x_k - base). Two passes.
 */
export async function combineAlong(job: MergeJob, axis: Axis, delta: boolean, coefficients: Coefficients) {
  if (axis === "tensor") {
    return job.combine(coefficients(await job.gram({ delta })), { delta });
  }
  const vectors = axis === "rows" ? job.rows : job.columns;
  const grams = await gramsAlong(job, axis, delta);
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

/**
 * Inner products of the models' vectors, for every row or column: gramsAlong(...)(v)[i][j] is that of models i and j in
 * vector v. One pass; memory on the host: 8 bytes per vector and pair. Throws RangeError when rows do not fit a
 * binding.
 */
export async function gramsAlong(inputs: TensorInputs, axis: "rows" | "columns", delta: boolean) {
  const { columns, count, first: firstSlot } = inputs;
  if (!inputs.wholeRows)
    throw new RangeError(`${inputs.name}: rows of ${columns} values exceed this adapter's bindings`);
  const pairs: [number, number][] = [];
  for (let i = 0; i < count; i++) for (let j = i; j < count; j++) pairs.push([i, j]);
  const sums = pairs.map(() => new Float64Array(axis === "rows" ? inputs.rows : columns));
  const vectorsIn = (chunk: Chunk) => (axis === "rows" ? chunk.length / columns : columns);
  const kernel = await inputs.gpu.kernel("merge/dots-along", { flags: inputs.flags(...(delta ? ["delta"] : [])) });
  await inputs.reduce(kernel, {
    runs: pairs.length,
    count: vectorsIn,
    dispatch: (chunk, dots, pair) => ({
      bind: { stack: chunk.stack, dots },
      params: {
        vectors: vectorsIn(chunk),
        length: axis === "rows" ? columns : chunk.length / columns,
        vector_step: axis === "rows" ? columns : 1,
        value_step: axis === "rows" ? 1 : columns,
        pitch: chunk.pitch,
        a: firstSlot + pairs[pair]![0],
        b: firstSlot + pairs[pair]![1],
      },
      groups: foldGroups(vectorsIn(chunk)), // one per vector
    }),
    fold: (dots, chunk, pair) => {
      const first = axis === "rows" ? chunk.start / columns : 0;
      for (const [v, dot] of dots.entries()) sums[pair]![first + v]! += dot;
    },
  });
  return (v: number): number[][] => {
    const gram = Array.from({ length: count }, () => Array.from({ length: count }, () => 0));
    for (const [pair, [i, j]] of pairs.entries()) {
      gram[i]![j] = sums[pair]![v]!;
      gram[j]![i] = sums[pair]![v]!;
    }
    return gram;
  };
}
