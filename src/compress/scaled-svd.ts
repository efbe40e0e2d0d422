/** The best factors of a matrix whose columns count unequally. */
import type { Gpu } from "../gpu/gpu.ts";
import { truncatedSvd } from "../tensor/linear-algebra/truncated-svd.ts";
import type { Factors } from "./factorization.ts";

/** The least scale of a column, as a share of the mean of all: what is never read has one, too. */
const LEAST = 1e-4;

/** Scales that are all positive. All 1 where none is. */
export function positiveScales(scales: ArrayLike<number>): Float64Array {
  const given = Float64Array.from(scales);
  const mean = given.reduce((sum, x) => sum + x, 0) / given.length;
  return given.map((x) => (mean > 0 ? Math.max(x, LEAST * mean) : 1));
}

/**
 * U and V with the least sum of the squares of (W - U V^T) diag(scales): the leading triplets of W diag(scales), of
 * which each side takes the root of a singular value, and V loses the scales again. Fewer than `rank` where W has
 * fewer.
 */
export async function scaledSvd(
  gpu: Gpu,
  weight: Float32Array,
  scales: ArrayLike<number>,
  rank: number,
): Promise<Factors> {
  const columns = scales.length;
  const rows = weight.length / columns;
  const values = weight.map((x, i) => x * scales[i % columns]!);
  const { s, left, right } = await truncatedSvd({ rows, columns, values }, rank, async () => gpu);
  const found = s.length;
  const [u, v] = [new Float32Array(rows * found), new Float32Array(columns * found)];
  for (const [k, value] of s.entries()) {
    const root = Math.sqrt(value);
    for (let i = 0; i < rows; i++) u[i * found + k] = root * left.values[k * rows + i]!;
    for (let j = 0; j < columns; j++) v[j * found + k] = (root * right.values[k * columns + j]!) / scales[j]!;
  }
  return { rank: found, left: u, right: v };
}
