/**
 * DoRA as LoRA: what its lengths make of a weight, less that weight, as a product of two thin matrices. The change has
 * full rank, since each row is scaled; its leading singular vectors hold most of it.
 */
import type { Gpu } from "../gpu/gpu.ts";
import { matmul } from "../tensor/linear-algebra/matmul.ts";
import { leadingSubspace } from "../tensor/linear-algebra/subspace.ts";

/** Share of the change (in Frobenius norm) that may be left out. */
export const LEFT_OUT = 0.01;

/** A weight and its DoRA part, on the host. */
export interface Dora {
  /** (out, in) */
  readonly weight: Float32Array;
  /** (r, in) and (out, r) */
  readonly a: Float32Array;
  readonly b: Float32Array;
  /** (out) */
  readonly lengths: Float32Array;
  readonly scale: number;
  readonly rank: number;
}

export interface Folded {
  /** (rank, in) and (out, rank), whose product is the change. */
  readonly a: Float32Array;
  readonly b: Float32Array;
  readonly rank: number;
  /** Share of the change that is left out. */
  readonly left: number;
}

/** m V / |V| - W by rows, V = W + s B A, (out, in); in f64. */
export function doraChange({ weight, a, b, lengths, scale, rank }: Dora): Float32Array {
  const out = lengths.length;
  const into = weight.length / out;
  const change = new Float32Array(out * into);
  const row = new Float64Array(into);
  for (let o = 0; o < out; o++) {
    row.set(weight.subarray(o * into, (o + 1) * into));
    for (let r = 0; r < rank; r++) {
      const factor = scale * b[o * rank + r]!;
      if (factor === 0) continue;
      for (let i = 0; i < into; i++) row[i]! += factor * a[r * into + i]!;
    }
    const length = Math.sqrt(row.reduce((sum, x) => sum + x * x, 0));
    const stretch = length > 0 ? lengths[o]! / length : 0;
    for (let i = 0; i < into; i++) change[o * into + i] = stretch * row[i]! - weight[o * into + i]!;
  }
  return change;
}

const squares = (values: Float32Array): number => values.reduce((sum, x) => sum + x * x, 0);

/**
 * The change with the least rank of r, 2 r, 4 r, ... that leaves out no more than `LEFT_OUT` of it. Memory: the weight
 * on the host and on the GPU.
 */
export async function foldDora(gpu: Gpu, dora: Dora): Promise<Folded> {
  const rows = dora.lengths.length;
  const change = doraChange(dora);
  const columns = change.length / rows;
  const whole = squares(change);
  if (whole === 0) return { a: new Float32Array(columns), b: new Float32Array(rows), rank: 1, left: 0 };
  using held = gpu.upload(change, "change of a weight");
  const matrix = { buffer: held.buffer, rows, columns };
  for (let rank = dora.rank; 2 * rank < Math.min(rows, columns); rank *= 2) {
    using basis = await leadingSubspace(gpu, matrix, rank);
    using inside = gpu.buffer(4 * rank * columns, "change in its basis");
    const q = { buffer: basis.buffer, rows, columns: rank };
    await matmul(gpu, { form: "tn", a: q, b: matrix, c: { buffer: inside.buffer, rows: rank, columns } });
    const a = await gpu.readFloats(inside.buffer, rank * columns);
    const left = Math.sqrt(Math.max(0, whole - squares(a)) / whole);
    if (left <= LEFT_OUT) return { a, b: await gpu.readFloats(basis.buffer, rows * rank), rank, left };
  }
  // No thin matrices hold it: the change itself, times the identity.
  const side = Math.min(rows, columns);
  const identity = Float32Array.from({ length: side * side }, (_, i) => (i % (side + 1) === 0 ? 1 : 0));
  return rows <= columns
    ? { a: change, b: identity, rank: side, left: 0 }
    : { a: identity, b: change, rank: side, left: 0 };
}
