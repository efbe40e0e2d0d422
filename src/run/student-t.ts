/** The mean of a few values and how far it may be off. */

export interface Mean {
  readonly mean: number;
  /** Half the width of the 95 % interval of Student's t over the values; undefined of fewer than two. */
  readonly half: number | undefined;
  readonly count: number;
}

/** The chance that |T| of `n` degrees of freedom is below t. Abramowitz and Stegun 1964, 26.7.3 and 26.7.4. */
function within(t: number, n: number): number {
  const angle = Math.atan(t / Math.sqrt(n));
  const [sin, cos] = [Math.sin(angle), Math.cos(angle)];
  let term = n % 2 === 1 ? cos : 1;
  let sum = n === 1 ? 0 : term;
  for (let k = n % 2 === 1 ? 3 : 2; k <= n - 2; k += 2) {
    term *= ((k - 1) / k) * cos * cos;
    sum += term;
  }
  return n % 2 === 1 ? (2 / Math.PI) * (angle + (n === 1 ? 0 : sin * sum)) : sin * sum;
}

/** The t that |T| of `n` degrees of freedom stays below with a chance of `share`. */
export function studentT(n: number, share = 0.95): number {
  let [low, high] = [0, 1];
  while (within(high, n) < share) high *= 2;
  for (let i = 0; i < 100; i++) {
    const middle = (low + high) / 2;
    if (within(middle, n) < share) low = middle;
    else high = middle;
  }
  return high;
}

/** Throws RangeError for no values. */
export function meanOf(values: readonly number[]): Mean {
  const count = values.length;
  if (count === 0) throw new RangeError("the mean of no values");
  const mean = values.reduce((a, b) => a + b, 0) / count;
  if (count === 1) return { mean, half: undefined, count };
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (count - 1);
  return { mean, half: studentT(count - 1) * Math.sqrt(variance / count), count };
}
