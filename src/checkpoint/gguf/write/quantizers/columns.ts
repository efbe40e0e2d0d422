/**
 * How much an error of each value counts where the activations are known that a matrix meets: the mean of the squares
 * of its column, times how large the value is, sqrt(s^2 + w^2) with the spread s of the values about it. As ggml has
 * it.
 */

/** Sum of the squares of `n` values from `from`. */
export function squareSum(values: Float32Array, from: number, n: number): number {
  let sum = 0;
  for (let i = from; i < from + n; i++) sum += values[i]! * values[i]!;
  return sum;
}

/**
 * Sets `weights` for as many values from `from`, whose row begins at a multiple of the columns; `spread` is s^2. Gives
 * their sum. Where all columns of the run are 0, nothing is known of it: each counts by its size alone.
 */
export function weigh(
  values: Float32Array,
  from: number,
  weights: Float64Array,
  { columns, spread }: { readonly columns: Float32Array; readonly spread: number },
): number {
  const n = weights.length;
  const first = from % columns.length;
  let known = 0;
  for (let i = first; i < first + n; i++) known += columns[i]!;
  let sum = 0;
  for (let i = 0; i < n; i++) {
    const size = Math.sqrt(spread + values[from + i]! ** 2);
    weights[i] = known > 0 ? columns[first + i]! * size : size;
    sum += weights[i]!;
  }
  return sum;
}
