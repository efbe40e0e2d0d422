/**
 * The subspace that task vectors of one weight share: leading directions of their leading left singular vectors
 * together.
 *
 * Step of DOGE (https://arxiv.org/abs/2501.01230). The vectors of all tasks side by side, U = [U_1 .. U_K], have
 * U U^T = sum_k U_k U_k^T, so only the spans matter, not the vectors within them. Small weights are decomposed exactly
 * on the host, in f64; large ones by subspace iteration on the GPU.
 */
import type { PooledBuffer } from "../../gpu/buffer.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { leadingSubspace } from "../../tensor/linear-algebra/subspace.ts";
import { svd } from "../../tensor/linear-algebra/svd.ts";

/** Shorter side up to which the host decomposes: below a second at this size. */
const EXACT_SIDE = 192;

/** The spans of several tasks together have singular values between 0 and sqrt(K), close to each other. */
const SHARED_ITERATIONS = 24;

export interface SharedSubspace {
  /** (rows, rank) orthonormal columns. */
  readonly basis: PooledBuffer;
  readonly rank: number;
}

/** Ranks of the task vectors' own subspaces and of the shared one. */
export function subspaceRanks(rows: number, columns: number, count: number, divisor: number): [number, number] {
  const side = Math.min(rows, columns);
  const own = Math.max(1, Math.floor(side / count));
  return [own, Math.min(Math.floor(side / divisor), own * count, rows)];
}

/** `tau` (K, rows, columns) f32. Undefined when the shared rank is 0. The caller frees the basis. */
export async function sharedSubspace(
  gpu: Gpu,
  tau: GPUBuffer,
  shape: { rows: number; columns: number; count: number },
  divisor: number,
  exactSide = EXACT_SIDE,
): Promise<SharedSubspace | undefined> {
  const { rows, columns, count } = shape;
  const [own, rank] = subspaceRanks(rows, columns, count, divisor);
  if (rank === 0) return undefined;
  const width = own * count;
  if (Math.min(rows, columns) <= exactSide) {
    const side = new Float64Array(rows * width);
    for (let k = 0; k < count; k++) {
      const values = await gpu.readFloats(tau, rows * columns, 4 * k * rows * columns);
      copyColumns(svd(values, rows, columns).u, rows, Math.min(rows, columns), own, side, width, k * own);
    }
    const shared = new Float64Array(rows * rank);
    copyColumns(svd(side, rows, width).u, rows, Math.min(rows, width), rank, shared, rank, 0);
    return { basis: gpu.upload(Float32Array.from(shared), "shared subspace"), rank };
  }
  const side = new Float32Array(rows * width);
  for (let k = 0; k < count; k++) {
    using basis = await leadingSubspace(gpu, { buffer: tau, rows, columns, start: k * rows * columns }, own);
    copyColumns(await gpu.readFloats(basis.buffer, rows * own), rows, own, own, side, width, k * own);
  }
  using together = gpu.upload(side, "subspaces");
  return {
    basis: await leadingSubspace(gpu, { buffer: together.buffer, rows, columns: width }, rank, SHARED_ITERATIONS),
    rank,
  };
}

/** Copies the first `count` columns of `from` (rows, fromWidth) to `into` (rows, intoWidth), from column `at` on. */
function copyColumns(
  from: ArrayLike<number>,
  rows: number,
  fromWidth: number,
  count: number,
  into: Float32Array | Float64Array,
  intoWidth: number,
  at: number,
): void {
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < count; c++) into[r * intoWidth + at + c] = from[r * fromWidth + c]!;
  }
}
