/**
 * Gaussian process regression with a Matern 5/2 kernel, a length per coordinate, and expected improvement.
 *
 * Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, algorithm 2.1 and (4.17); the improvement:
 * Jones, Schonlau and Welch 1998, https://doi.org/10.1023/A:1008306431147. All in f64 on the host: O(n^3) for n points.
 */
import { choleskyFactor, solveLower, solveUpper } from "../../tensor/linear-algebra/cholesky.ts";
import { Cma } from "./cma.ts";

/** What the kernel depends on, in logarithms: a length per coordinate, the scale of the values, that of the noise. */
export interface Hyper {
  readonly lengths: readonly number[];
  readonly scale: number;
  readonly noise: number;
}

const ROOT5 = Math.sqrt(5);

/** The Matern 5/2 kernel: the covariance of the values at two points. */
export function matern({ lengths, scale }: Hyper): (a: readonly number[], b: readonly number[]) => number {
  const factors = lengths.map((length) => ROOT5 * Math.exp(-length));
  const variance = Math.exp(2 * scale);
  return (a, b) => {
    let square = 0;
    for (let i = 0; i < factors.length; i++) {
      const x = (a[i]! - b[i]!) * factors[i]!;
      square += x * x;
    }
    const r = Math.sqrt(square);
    return variance * (1 + r + square / 3) * Math.exp(-r);
  };
}

export interface Process {
  readonly points: readonly (readonly number[])[];
  readonly hyper: Hyper;
  /** The kernel at `hyper`. */
  readonly covariance: ReturnType<typeof matern>;
  readonly factor: Float64Array;
  /** K^-1 y. */
  readonly weights: Float64Array;
  /** log p(y | points). */
  readonly evidence: number;
}

/** Added to the diagonal, in parts of the values' variance: the first with which rounding leaves it positive. */
const JITTERS = [1e-10, 1e-8, 1e-6, 1e-4, 1e-2];

/** Conditions a process of mean 0 on values at points. Throws RangeError for points that are not finite. */
export function condition(points: readonly (readonly number[])[], values: readonly number[], hyper: Hyper): Process {
  const n = points.length;
  const kernel = new Float64Array(n * n);
  const covariance = matern(hyper);
  const noise = Math.exp(2 * hyper.noise);
  const variance = Math.exp(2 * hyper.scale);
  for (let i = 0; i < n; i++) for (let j = 0; j <= i; j++) kernel[i * n + j] = covariance(points[i]!, points[j]!);
  let factor: Float64Array | undefined;
  for (const jitter of JITTERS) {
    for (let i = 0; i < n; i++) kernel[i * n + i] = variance * (1 + jitter) + noise;
    factor = choleskyFactor(kernel, n);
    if (factor) break;
  }
  if (!factor) throw new RangeError("the points of a process are not finite");
  const half = solveLower(factor, values, n);
  let evidence = -0.5 * n * Math.log(2 * Math.PI);
  for (let i = 0; i < n; i++) evidence -= 0.5 * half[i]! ** 2 + Math.log(factor[i * n + i]!);
  return { points, hyper, covariance, factor, weights: solveUpper(factor, half, n), evidence };
}

/** Mean and standard deviation of the process at a point, the noise left out. */
export function predict(
  { points, hyper, covariance, factor, weights }: Process,
  at: readonly number[],
): { mean: number; std: number } {
  const n = points.length;
  const row = Float64Array.from(points, (point) => covariance(at, point));
  const mean = row.reduce((sum, k, i) => sum + k * weights[i]!, 0);
  const half = solveLower(factor, row, n);
  const variance = Math.exp(2 * hyper.scale) - half.reduce((sum, x) => sum + x * x, 0);
  return { mean, std: Math.sqrt(Math.max(variance, 0)) };
}

/** The log of the density of the standard normal distribution. */
const logDensity = (z: number): number => -0.5 * z * z - 0.5 * Math.log(2 * Math.PI);

/** The mass of the standard normal distribution below `z`, to rounding, for z from -3 on. By its power series. */
function massBelow(z: number): number {
  let term = z;
  let sum = z;
  for (let k = 3; Math.abs(term) > 1e-17 * Math.abs(sum); k += 2) {
    term *= (z * z) / k;
    sum += term;
  }
  return z > 9 ? 1 : 0.5 + Math.exp(logDensity(z)) * sum;
}

/**
 * The log of how much a normal value is above `best` on average, where it is above; -Infinity if it never is. Exact in
 * the far tail too, where the improvement itself is smaller than any number: so candidates always differ.
 */
export function logImprovement({ mean, std }: { mean: number; std: number }, best: number): number {
  if (!(std > 0)) return Math.log(Math.max(mean - best, 0));
  const z = (mean - best) / std;
  if (z > -3) return Math.log(std) + Math.log(Math.exp(logDensity(z)) + z * massBelow(z));
  let rest = 0; // 1 / (x + 2 / (x + 3 / ...)), the continued fraction of Mills' ratio
  for (let k = 60; k >= 1; k--) rest = k / (-z + rest);
  return Math.log(std) + logDensity(z) + Math.log(rest / (-z + rest));
}

/** Log density of a normal prior, without its constant. */
const prior = (x: number, mean: number, std: number): number => -0.5 * ((x - mean) / std) ** 2;

/** Generations of the search for the kernel's numbers, from nothing and from a good guess. */
const GENERATIONS = { fresh: 25, near: 8 };

/** Numbers before any score: half of the unit cube's side, values of variance 1, a noise of a hundredth. */
const vague = (dimension: number): Hyper => ({
  lengths: new Array<number>(dimension).fill(Math.log(0.5)),
  scale: 0,
  noise: Math.log(0.01),
});

interface Fitting {
  readonly seed: number;
  readonly start?: Hyper | undefined;
  readonly fixed?: boolean;
}

/**
 * A process whose kernel makes the values most likely, under wide priors about `vague` that keep it from a length of 0
 * with few points. `values` are best of mean 0 and variance 1; points lie in the unit cube. `start` is a good guess,
 * and with `fixed` it stands as it is.
 */
export function fit(
  points: readonly (readonly number[])[],
  values: readonly number[],
  { seed, start, fixed = false }: Fitting,
): Process {
  const dimension = points[0]!.length;
  const wide = vague(dimension);
  const hyperOf = (x: readonly number[]): Hyper => ({
    lengths: x.slice(0, dimension),
    scale: x[dimension]!,
    noise: x[dimension + 1]!,
  });
  const cost = (x: readonly number[]): number => {
    const hyper = hyperOf(x);
    const process = condition(points, values, hyper);
    const belief = hyper.lengths.reduce((sum, length) => sum + prior(length, wide.lengths[0]!, 1), 0);
    return -(process.evidence + belief + prior(hyper.scale, wide.scale, 1) + prior(hyper.noise, wide.noise, 2));
  };
  const from = start ?? wide;
  const first = [...from.lengths, from.scale, from.noise];
  const search = new Cma({ start: first, sigma: start ? 0.25 : 0.5, seed, bounded: false });
  const generations = fixed ? 0 : start ? GENERATIONS.near : GENERATIONS.fresh;
  let best = { x: first, cost: cost(first) };
  for (let generation = 0; generation < generations; generation++) {
    const candidates = search.ask();
    const costs = candidates.map(cost);
    for (const [i, value] of costs.entries()) if (value < best.cost) best = { x: candidates[i]!, cost: value };
    search.tell(costs);
  }
  return condition(points, values, hyperOf(best.x));
}
