/**
 * Energy distance of two samples of vectors: 2 E|X - Y| - E|X - X'| - E|Y - Y'|, which is 0 where both are of one
 * distribution and above it elsewhere. Means are over pairs of different rows, so that the estimate has no bias and may
 * be a little below 0. Szekely and Rizzo 2013, https://doi.org/10.1016/j.jspi.2013.03.018
 */

/** Rows of `width` values each. */
export type Rows = readonly ArrayLike<number>[];

function distance(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i]! - b[i]!) ** 2;
  return Math.sqrt(sum);
}

/** Mean distance of the rows of one sample from those of another. */
function between(a: Rows, b: Rows): number {
  let sum = 0;
  for (const x of a) for (const y of b) sum += distance(x, y);
  return sum / (a.length * b.length);
}

/** Mean distance of different rows of one sample. */
function within(a: Rows): number {
  let sum = 0;
  for (const [i, x] of a.entries()) for (let j = 0; j < i; j++) sum += distance(x, a[j]!);
  return (2 * sum) / (a.length * (a.length - 1));
}

/** NaN where a sample has fewer than two rows. Time is that of all pairs. */
export const energyDistance = (a: Rows, b: Rows): number => 2 * between(a, b) - within(a) - within(b);
