/** Two-sample Kolmogorov-Smirnov test with the asymptotic p-value. Stephens 1970, as in Numerical Recipes. */

/** Largest distance between the shares of two samples that are not above a value, and the chance of one as large. */
export function kolmogorovSmirnov(a: readonly number[], b: readonly number[]): { d: number; p: number } {
  const [x, y] = [Float64Array.from(a).sort(), Float64Array.from(b).sort()];
  let [i, j, d] = [0, 0, 0];
  while (i < x.length && j < y.length) {
    const value = Math.min(x[i]!, y[j]!);
    while (i < x.length && x[i] === value) i++;
    while (j < y.length && y[j] === value) j++;
    d = Math.max(d, Math.abs(i / x.length - j / y.length));
  }
  return { d, p: chance(d, (x.length * y.length) / (x.length + y.length)) };
}

/** Chance of a distance of at least d between samples of effective size n, the product of their sizes by the sum. */
export function chance(d: number, n: number): number {
  const root = Math.sqrt(n);
  const s = (root + 0.12 + 0.11 / root) * d;
  if (s < 0.2) return 1; // the series converges slowly there; 1 - p is below 1e-12
  let [sum, sign] = [0, 1];
  for (let k = 1; k <= 100; k++) {
    const term = Math.exp(-2 * k * k * s * s);
    sum += sign * term;
    if (term < 1e-18) break;
    sign = -sign;
  }
  return Math.min(1, Math.max(0, 2 * sum));
}
