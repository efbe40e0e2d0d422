/**
 * Matrix products run at once, by the kernels that products.ts plans for the adapter; recorded ones are in
 * ops/linear.ts.
 */
import type { Gpu } from "../../gpu/gpu.ts";
import { profileOf } from "../program.ts";
import { type Form, planProduct } from "./products.ts";

/** A row-major f32 matrix in a buffer, `start` values from its beginning. */
export interface Matrix {
  readonly buffer: GPUBuffer;
  readonly rows: number;
  readonly columns: number;
  readonly start?: number;
  /** Values from one row to the next; `columns` when left out. */
  readonly pitch?: number;
}

export interface Product {
  /** Which operand is transposed: nn neither, nt B, tn A. */
  readonly form: Form;
  readonly a: Matrix;
  readonly b: Matrix;
  /** The result, in another buffer than a and b. */
  readonly c: Matrix;
  /** Multiplies the product; 1 when left out. */
  readonly scale?: number;
  /** Adds to C instead of writing it. */
  readonly accumulate?: boolean;
}

/**
 * Records C = scale op(A) op(B), or C += scale op(A) op(B). Throws RangeError when the shapes do not fit together.
 *
 *   await matmul(gpu, { form: "tn", a: basis, b: x, c: inside }); // (r, n) = (m, r)^T (m, n)
 */
export async function matmul(gpu: Gpu, { form, a, b, c, scale = 1, accumulate = false }: Product): Promise<void> {
  const [m, k] = form === "tn" ? [a.columns, a.rows] : [a.rows, a.columns];
  const [depth, n] = form === "nt" ? [b.columns, b.rows] : [b.rows, b.columns];
  if (depth !== k || c.rows !== m || c.columns !== n) {
    throw new RangeError(`product of (${m}, ${k}) and (${depth}, ${n}) does not give (${c.rows}, ${c.columns})`);
  }
  const starts = { startA: a.start ?? 0, startB: b.start ?? 0, startC: c.start ?? 0 };
  const pitches = { lda: a.pitch ?? a.columns, ldb: b.pitch ?? b.columns, ldc: c.pitch ?? c.columns };
  const shape = { form, m, n, k, scale, ...starts, ...pitches };
  const { kernel, params, groups, ...variant } = planProduct(shape, profileOf(gpu));
  gpu.run(await gpu.kernel(kernel, variant), {
    bind: { a: a.buffer, b: b.buffer, c: c.buffer },
    params: { ...params, accumulate: Number(accumulate) },
    groups,
  });
}
