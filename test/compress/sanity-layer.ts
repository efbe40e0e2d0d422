/** The synthetic layer on which compression methods are compared. */
import { normals } from "../support/random.ts";

/**
 * W 16 x 32, normal; X 256 rows of normal values, mixed by a random 32 x 32 matrix, columns scaled by exp(0.7 N(0, 1)).
 */
export function sanityLayer(seed: number): { w: Float32Array; rows: number; x: Float32Array } {
  const [rows, columns, tokens] = [16, 32, 256];
  const w = normals(4 * seed, rows * columns);
  const raw = normals(4 * seed + 1, tokens * columns);
  const mix = normals(4 * seed + 2, columns * columns);
  const sizes = normals(4 * seed + 3, columns).map((s) => Math.exp(0.7 * s));
  const x = new Float32Array(tokens * columns);
  for (let t = 0; t < tokens; t++)
    for (let j = 0; j < columns; j++) {
      let sum = 0;
      for (let k = 0; k < columns; k++) sum += raw[t * columns + k]! * mix[k * columns + j]!;
      x[t * columns + j] = sum * sizes[j]!;
    }
  return { w, rows, x };
}
