/**
 * Vectors of length 1 that lie as far from each other as can be: an equiangular tight frame of K vectors, in which any
 * two have the cosine -1 / (K - 1).
 */
import { keyedNormals } from "../../keyed-random.ts";
import { assign } from "../../tensor/linear-algebra/assignment.ts";

/** `count` rows of `width` numbers at right angles, of length 1: normal ones by Gram and Schmidt, twice. */
function orthonormal(count: number, width: number, seed: number): Float64Array[] {
  const drawn = keyedNormals(count * width, 1, seed, "simplex");
  const rows: Float64Array[] = [];
  for (let i = 0; i < count; i++) {
    const row = Float64Array.from(drawn.subarray(i * width, (i + 1) * width));
    for (const other of [...rows, ...rows]) {
      const share = row.reduce((sum, x, j) => sum + x * other[j]!, 0);
      for (const [j, x] of other.entries()) row[j]! -= share * x;
    }
    const length = Math.hypot(...row);
    rows.push(row.map((x) => x / length));
  }
  return rows;
}

/** `count` vectors (count, width), turned at random. Throws RangeError where width < count - 1 or count < 2. */
export function simplex(count: number, width: number, seed: number): Float64Array[] {
  if (count < 2 || width < count - 1) throw new RangeError(`${width} numbers have no place for ${count} such vectors`);
  const axes = orthonormal(count - 1, width, seed);
  const length = Math.sqrt((count - 1) / count);
  return Array.from({ length: count }, (_, k) => {
    const vector = new Float64Array(width);
    // Helmert's basis of what is across (1, ..., 1): axis i has 1 in places 0 .. i, then -(i + 1).
    for (const [i, axis] of axes.entries()) {
      const at = (k <= i ? 1 : k === i + 1 ? -(i + 1) : 0) / Math.sqrt((i + 1) * (i + 2)) / length;
      for (const [j, x] of axis.entries()) vector[j]! += at * x;
    }
    return vector;
  });
}

/**
 * For each mean one of the vectors, such that the sum of their inner products is largest. There are at least as many
 * vectors as means.
 */
export function nearestVectors(means: readonly Float64Array[], vectors: readonly ArrayLike<number>[]): number[] {
  const n = vectors.length;
  const gains = new Float64Array(n * n); // rows beyond the means gain nothing anywhere
  for (const [i, mean] of means.entries())
    for (const [k, vector] of vectors.entries()) gains[i * n + k] = mean.reduce((sum, x, j) => sum + x * vector[j]!, 0);
  return [...assign(gains, n).subarray(0, means.length)];
}
