/**
 * Two-sample Kolmogorov-Smirnov test. The exact p-value is that of samples without ties, as scipy's ks_2samp gives it
 * for samples of at most 10,000; the asymptotic one is Stephens 1970, as in Numerical Recipes.
 */

/** Larger samples have the asymptotic p-value, as in scipy. */
const MOST_EXACT = 10_000;

/**
 * Largest distance between the shares of two samples that are not above a value, and the chance of one as large.
 * `exact` takes time as the product of the sizes. NaN where a sample is empty.
 */
export function kolmogorovSmirnov(
  a: readonly number[],
  b: readonly number[],
  { exact = true }: { readonly exact?: boolean } = {},
): { d: number; p: number } {
  const [x, y] = [Float64Array.from(a).sort(), Float64Array.from(b).sort()];
  const [m, n] = [x.length, y.length];
  let [i, j, most] = [0, 0, 0];
  while (i < m && j < n) {
    const value = Math.min(x[i]!, y[j]!);
    while (i < m && x[i] === value) i++;
    while (j < n && y[j] === value) j++;
    most = Math.max(most, Math.abs(i * n - j * m));
  }
  if (m * n === 0) return { d: Number.NaN, p: Number.NaN };
  const d = most / (m * n);
  const isExact = exact && Math.max(m, n) <= MOST_EXACT;
  return { d, p: isExact ? exactChance(most, m, n) : chance(d, (m * n) / (m + n)) };
}

/**
 * Chance that the shares of samples of m and n values are at some value `distance` / (m n) or more apart, where all
 * orders of the m + n values are equally likely. Chances only add up, so small ones are as precise as large ones.
 */
export function exactChance(distance: number, m: number, n: number): number {
  if (distance === 0) return 1;
  // inside[j]: chance of i values of one sample and j of the other among the first i + j, never so far apart before
  let inside = new Float64Array(n + 1);
  inside[0] = 1;
  let outside = 0;
  for (let i = 0; i <= m; i++) {
    const next = new Float64Array(n + 1);
    for (let j = 0; j <= n; j++) {
      const here = inside[j]!;
      if (here === 0) continue;
      if (Math.abs(i * n - j * m) >= distance) {
        outside += here;
        continue;
      }
      const left = m + n - i - j;
      if (i < m) next[j]! += (here * (m - i)) / left;
      if (j < n) inside[j + 1]! += (here * (n - j)) / left;
    }
    inside = next;
  }
  return Math.min(1, outside);
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
