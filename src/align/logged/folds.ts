/** Folds of rows for cross-fitting: what is said of a row is fitted on rows of other folds. */
import { permutation } from "../../data/shuffle.ts";

/** The fold of every row, 0 to folds - 1, of sizes that differ by one at most: a function of the seed and the count. */
export function foldsOf(rows: number, folds: number, seed: number): Int32Array {
  const order = permutation(rows, seed, 0, "folds");
  const fold = new Int32Array(rows);
  for (const [place, row] of order.entries()) fold[row] = place % Math.min(folds, rows);
  return fold;
}
