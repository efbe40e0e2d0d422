/** Orthonormal rows, and the leading subspace of a matrix, recorded: nothing is read back. */
import type { Recorder } from "../recorder.ts";
import { showShape, type Tensor } from "../tensor.ts";
import { addScalar, div, sqrt } from "./elementwise.ts";
import { product } from "./linear.ts";
import { dot } from "./reduce.ts";

/** Rows at most: `MOST` of wgsl/orthonormal-rows. */
export const MOST_ROWS = 1024;

/** (R, N) -> (R, N): an orthonormal basis of the span of the rows, zeros for rows within it. No gradient. */
export function orthonormalRows(rec: Recorder, x: Tensor): Tensor {
  const [rows = 0, width = 0] = x.shape;
  if (rows > MOST_ROWS) throw new RangeError(`${x.label} ${showShape(x.shape)}: ${MOST_ROWS} rows at most`);
  const y = rec.scratch(x.shape, `orthonormal rows of ${x.label}`);
  rec.step({ kernel: "orthonormal-rows/orthonormal-rows", bind: { x, y }, params: { rows, width }, groups: [1] });
  return y;
}

/** Added to a norm before it divides. */
const TINY = 1e-30;

/**
 * An orthonormal basis (rank, side) of about the span of the leading singular vectors of a matrix (m, n): the left ones
 * where `left`, side m, else the right ones, side n. Subspace iteration from `start` (rank, side), each round of which
 * applies the matrix and its transpose (Halko et al. 2011, https://arxiv.org/abs/0909.4061). Zeros for a matrix of
 * zeros.
 */
export function leadingRows(
  rec: Recorder,
  matrix: Tensor,
  start: Tensor,
  { left, iterations }: { readonly left: boolean; readonly iterations: number },
): Tensor {
  const [m = 0, n = 0] = matrix.shape;
  const [rank = 0, side = 0] = start.shape;
  const other = left ? n : m;
  const unit = div(rec, matrix, addScalar(rec, sqrt(rec, dot(rec, matrix, matrix)), TINY));
  let basis = start;
  for (let i = 0; i < iterations; i++) {
    const image = rec.scratch([rank, other], "image of a basis");
    product(rec, { form: left ? "nn" : "nt", m: rank, n: other, k: side, a: basis, b: unit, c: image });
    const back = rec.scratch([rank, side], "basis");
    product(rec, { form: left ? "nt" : "nn", m: rank, n: side, k: other, a: image, b: unit, c: back });
    basis = orthonormalRows(rec, back);
  }
  return basis;
}
