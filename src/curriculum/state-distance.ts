/** Distances between hidden states of rows. */

/** Euclidean distance of two vectors of one length. */
export const distance = (a: Float64Array, b: Float64Array): number =>
  Math.sqrt(a.reduce((sum, x, i) => sum + (x - b[i]!) ** 2, 0));
