/**
 * What the stages of a layer of experts cost, and in how many chunks its tokens pass through them fastest.
 *
 *   t(n) = a + b n,  a, b >= 0, by least squares     T(r) = r max_s t_s(n / r) + sum over the other s of t_s(n / r)
 *
 * a is what a start costs, 1 / b the throughput; the last sum fills the pipeline. Pan et al., FSMoE: A Flexible and
 * Scalable Training System for Sparse Mixture-of-Experts Models, 2025.
 */

/** One size, and the seconds that it takes. */
export interface Timed {
  readonly n: number;
  readonly seconds: number;
}

/** Seconds of a stage: at once, and for each token. */
export interface Cost {
  readonly start: number;
  readonly each: number;
}

export const secondsOf = ({ start, each }: Cost, n: number): number => start + each * n;

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  return (sorted[Math.ceil(middle) - 1]! + sorted[Math.floor(middle)]!) / 2;
}

/** The line nearest to the times, of those that do not fall and do not begin below 0. */
export function fitCost(times: readonly Timed[]): Cost {
  const count = times.length;
  const meanN = times.reduce((sum, { n }) => sum + n, 0) / count;
  const mean = times.reduce((sum, { seconds }) => sum + seconds, 0) / count;
  const square = times.reduce((sum, { n }) => sum + (n - meanN) ** 2, 0);
  const along = times.reduce((sum, { n, seconds }) => sum + (n - meanN) * (seconds - mean), 0);
  const each = square === 0 ? 0 : along / square;
  if (each <= 0) return { start: mean, each: 0 };
  const start = mean - each * meanN;
  if (start >= 0) return { start, each };
  const through = times.reduce((sum, { n, seconds }) => sum + n * seconds, 0);
  return { start: 0, each: through / times.reduce((sum, { n }) => sum + n * n, 0) };
}

/** The most that the line is off from a time, as a share of it. */
export const worstMiss = (cost: Cost, times: readonly Timed[]): number =>
  Math.max(...times.map(({ n, seconds }) => Math.abs(secondsOf(cost, n) - seconds) / seconds));

/** Seconds of `n` tokens in `chunks` chunks. */
export function pipelined(stages: readonly Cost[], n: number, chunks: number): number {
  const own = stages.map((stage) => secondsOf(stage, n / chunks));
  return (chunks - 1) * Math.max(...own) + own.reduce((a, b) => a + b, 0);
}

/** The number of chunks that is fastest; of equal ones the first. */
export const bestChunks = (stages: readonly Cost[], n: number, among: readonly number[]): number =>
  among.reduce((best, chunks) => (pipelined(stages, n, chunks) < pipelined(stages, n, best) ? chunks : best));
