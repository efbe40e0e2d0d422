/** Matrix products on the GPU, f32, in the forms NN, NT and TN; wgsl/linear/matmul.wgsl. */
import type { Gpu } from "../../gpu/gpu.ts";

/** A row-major f32 matrix in a buffer. `start` and `stride` count values; the stride is the row length unless given. */
export interface Matrix {
  readonly buffer: GPUBuffer;
  readonly rows: number;
  readonly columns: number;
  readonly start?: number;
  readonly stride?: number;
}

export interface Product {
  readonly a: Matrix;
  readonly b: Matrix;
  /** The result, a buffer of its own. */
  readonly c: Matrix;
  readonly transposeA?: boolean;
  readonly transposeB?: boolean;
  readonly alpha?: number;
  readonly beta?: number;
}

const TILE = 32;

/** Records C = alpha op(A) op(B) + beta C. Throws RangeError when the shapes do not fit together. */
export async function matmul(gpu: Gpu, product: Product): Promise<void> {
  const { a, b, c, transposeA = false, transposeB = false, alpha = 1, beta = 0 } = product;
  const [m, k] = transposeA ? [a.columns, a.rows] : [a.rows, a.columns];
  const [depth, n] = transposeB ? [b.columns, b.rows] : [b.rows, b.columns];
  if (depth !== k || c.rows !== m || c.columns !== n) {
    throw new RangeError(`product of (${m}, ${k}) and (${depth}, ${n}) does not give (${c.rows}, ${c.columns})`);
  }
  if (m === 0 || n === 0) return;
  const flags = [...(transposeA ? ["transpose_a"] : []), ...(transposeB ? ["transpose_b"] : [])];
  gpu.run(await gpu.kernel("linear/matmul", { flags }), {
    bind: { a: a.buffer, b: b.buffer, c: c.buffer },
    params: {
      m,
      n,
      k,
      a_start: a.start ?? 0,
      a_stride: a.stride ?? a.columns,
      b_start: b.start ?? 0,
      b_stride: b.stride ?? b.columns,
      c_start: c.start ?? 0,
      c_stride: c.stride ?? c.columns,
      alpha,
      beta,
    },
    groups: [Math.ceil(n / TILE), Math.ceil(m / TILE)],
  });
}
