/**
 * Weights of observed rows under which they look like a pool, to every function of a kernel's space. Li et al., ICLR
 * 2024, https://arxiv.org/abs/2404.19596; with the dual of entropy balancing (Hainmueller 2012,
 * https://doi.org/10.1093/pan/mpr025) as the other way to find them.
 *
 *   k(a, b) = exp(-g |a - b|^2), features scaled to [0, 1] over both, and divided by the root of their number
 *   gap_j = mean over the pool of k(a_j, u) - mean over the rows of w_i k(a_j, x_i), a_j anchors among the pool
 *
 *   gap    min mean w log(w / w0) + G sum_j max(0, |gap_j| - C), w_i = w0_i exp(net(x_i)), of mean 1 in a batch
 *   dual   w_i in proportion to w0_i exp(sum_j m_j k(a_j, x_i)), the m_j such that gap_j = C m_j
 *
 * `w0` are weights to begin with: 1, or inverse propensities. All is in f64 on the host.
 */
import { Random } from "../data/random.ts";
import { Mlp } from "../run/small-nets/mlp.ts";
import { adam } from "../tensor/descent.ts";
import { choleskyFactor } from "../tensor/linear-algebra/cholesky.ts";

/** Which members of the pool the gaps are measured at. */
export type AnchorChoice = "random" | "worst-case" | "adaptive";

export interface BalanceSettings {
  /** g */
  readonly kernelGamma: number;
  /** C */
  readonly tolerance: number;
  readonly anchors: AnchorChoice;
  /** Of a batch for `gap`, in all for `dual`. */
  readonly count: number;
  readonly seed: number;
}

export interface GapSettings extends BalanceSettings {
  /** G */
  readonly strength: number;
  readonly steps: number;
  readonly lr: number;
}

/** What is to be balanced. */
export interface Sample {
  /** Features of each row. */
  readonly rows: readonly Float64Array[];
  readonly pool: readonly Float64Array[];
  /** w0, of mean 1. */
  readonly prior: Float64Array;
  /** Of each row, for adaptive anchors. */
  readonly losses?: Float64Array | undefined;
}

const BATCH = 128;
/** Members of the pool for each row of a batch. */
const POOL_ROWS = 5;
/** Members of the pool among which anchors are looked for. */
const CANDIDATES = 64;
const HIDDEN = 16;
/** Rows that the discrepancy is measured on, of either side. */
const MEASURED = 1000;

/** Scales features to [0, 1] over all rows of both, and divides by the root of their number. */
export function scaleFeatures(rows: readonly Float64Array[], pool: readonly Float64Array[]) {
  const size = rows[0]!.length;
  const [low, high] = [new Float64Array(size).fill(Infinity), new Float64Array(size).fill(-Infinity)];
  for (const row of [...rows, ...pool])
    for (const [k, x] of row.entries()) {
      low[k] = Math.min(low[k]!, x);
      high[k] = Math.max(high[k]!, x);
    }
  const scaled = (row: Float64Array) =>
    row.map((x, k) => (high[k]! > low[k]! ? (x - low[k]!) / (high[k]! - low[k]!) / Math.sqrt(size) : 0));
  return { rows: rows.map(scaled), pool: pool.map(scaled) };
}

export function kernelOf(a: Float64Array, b: Float64Array, gamma: number): number {
  let sum = 0;
  for (let k = 0; k < a.length; k++) sum += (a[k]! - b[k]!) ** 2;
  return Math.exp(-gamma * sum);
}

const mean = (values: ArrayLike<number>): number => {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]!;
  return sum / values.length;
};

/** Weights of mean 1. */
const ofMeanOne = (weights: Float64Array): Float64Array => {
  const level = mean(weights);
  return weights.map((w) => w / level);
};

/** Some of a list, each at most once. */
function drawn<T>(list: readonly T[], count: number, random: Random): T[] {
  const left = [...list];
  return Array.from({ length: Math.min(count, left.length) }, () => {
    const at = random.below(left.length);
    const [one] = left.splice(at, 1);
    return one!;
  });
}

/** Gaps at anchors under weights of mean 1. */
export function gapsOf(
  anchors: readonly Float64Array[],
  rows: readonly Float64Array[],
  weights: ArrayLike<number>,
  pool: readonly Float64Array[],
  gamma: number,
): number[] {
  return anchors.map((anchor) => {
    let own = 0;
    for (const [i, row] of rows.entries()) own += (weights[i]! * kernelOf(anchor, row, gamma)) / rows.length;
    return mean(pool.map((one) => kernelOf(anchor, one, gamma))) - own;
  });
}

/** Indices of the largest magnitudes, the largest first. */
const largest = (values: ArrayLike<number>, count: number): number[] =>
  [...Array(values.length).keys()].sort((a, b) => Math.abs(values[b]!) - Math.abs(values[a]!)).slice(0, count);

/**
 * Of candidates those on which the rows' losses depend most: the largest coefficients of loss_i ~ sum_j e_j k(a_j,
 * x_i), least squares weighed by w0 with a ridge.
 */
function byLosses(candidates: readonly Float64Array[], { rows, prior, losses }: Sample, gamma: number): number[] {
  const j = candidates.length;
  const [gram, right] = [new Float64Array(j * j), new Float64Array(j)];
  const level = mean(losses!);
  for (const [i, row] of rows.entries()) {
    const k = candidates.map((anchor) => kernelOf(anchor, row, gamma));
    for (let a = 0; a < j; a++) {
      right[a]! += prior[i]! * k[a]! * (losses![i]! - level);
      for (let b = 0; b < j; b++) gram[a * j + b]! += prior[i]! * k[a]! * k[b]!;
    }
  }
  for (let a = 0; a < j; a++) gram[a * j + a]! += 1e-3 * rows.length;
  return [...solved(gram, right)];
}

/** x of A x = b, A symmetric and positive definite, (n, n). */
function solved(matrix: Float64Array, b: Float64Array): Float64Array {
  const n = b.length;
  const factor = choleskyFactor(matrix, n);
  if (!factor) throw new RangeError("the matrix is not positive definite");
  const x = b.slice();
  for (let i = 0; i < n; i++) {
    for (let k = 0; k < i; k++) x[i]! -= factor[i * n + k]! * x[k]!;
    x[i]! /= factor[i * n + i]!;
  }
  for (let i = n - 1; i >= 0; i--) {
    for (let k = i + 1; k < n; k++) x[i]! -= factor[k * n + i]! * x[k]!;
    x[i]! /= factor[i * n + i]!;
  }
  return x;
}

/** Anchors for all rows at once. Worst cases are found one by one, each where the ones before leave most. */
function anchorsOf(sample: Sample, { anchors, count, kernelGamma: gamma, seed }: BalanceSettings): Float64Array[] {
  const random = new Random(seed, "anchors");
  if (anchors === "random") return drawn(sample.pool, count, random);
  const candidates = drawn(sample.pool, Math.max(CANDIDATES, 2 * count), random);
  if (anchors === "adaptive") return largest(byLosses(candidates, sample, gamma), count).map((at) => candidates[at]!);
  const left = gapsOf(candidates, sample.rows, sample.prior, sample.pool, gamma);
  const chosen: Float64Array[] = [];
  while (chosen.length < Math.min(count, candidates.length)) {
    const [at] = largest(left, 1);
    const [anchor, gap] = [candidates[at!]!, left[at!]!];
    chosen.push(anchor);
    // What an anchor's own gap explains of the others' is taken off, so that the next one is elsewhere.
    for (const [i, other] of candidates.entries()) left[i]! -= gap * kernelOf(anchor, other, gamma);
    left[at!] = 0;
  }
  return chosen;
}

const MOST_STEPS = 200;

/** Weights by the dual. Throws RangeError where no weights bring the gaps down. */
export function dualWeights(sample: Sample, settings: BalanceSettings): Float64Array {
  const { kernelGamma: gamma, tolerance } = settings;
  const { rows, pool, prior } = sample;
  if (tolerance === Number.POSITIVE_INFINITY) return ofMeanOne(prior);
  const anchors = anchorsOf(sample, settings);
  const j = anchors.length;
  // Of each row its kernels less those of the pool in the mean.
  const wanted = anchors.map((anchor) => mean(pool.map((one) => kernelOf(anchor, one, gamma))));
  const apart = rows.map((row) => Float64Array.from(anchors, (anchor, a) => kernelOf(anchor, row, gamma) - wanted[a]!));
  const at = (m: Float64Array) => {
    const logs = apart.map((k, i) => Math.log(prior[i]!) + k.reduce((sum, x, a) => sum + x * m[a]!, 0));
    const most = logs.reduce((a, b) => Math.max(a, b), -Infinity);
    const raw = Float64Array.from(logs, (x) => Math.exp(x - most));
    const sum = raw.reduce((a, b) => a + b, 0);
    const value = most + Math.log(sum) + (tolerance / 2) * m.reduce((total, x) => total + x * x, 0);
    return { value, shares: raw.map((x) => x / sum) };
  };
  let m = new Float64Array(j);
  let now = at(m);
  for (let step = 0; step < MOST_STEPS; step++) {
    const gradient = m.map((x) => tolerance * x);
    const hessian = new Float64Array(j * j);
    const means = new Float64Array(j);
    for (const [i, k] of apart.entries()) for (let a = 0; a < j; a++) means[a]! += now.shares[i]! * k[a]!;
    for (const [i, k] of apart.entries())
      for (let a = 0; a < j; a++)
        for (let b = 0; b < j; b++) hessian[a * j + b]! += now.shares[i]! * (k[a]! - means[a]!) * (k[b]! - means[b]!);
    for (let a = 0; a < j; a++) {
      gradient[a]! += means[a]!;
      hessian[a * j + a]! += tolerance + 1e-10;
    }
    const way = solved(hessian, gradient);
    const slope = way.reduce((sum, x, a) => sum + x * gradient[a]!, 0);
    if (slope < 1e-14) break;
    let size = 1;
    let next = at(m.map((x, a) => x - size * way[a]!));
    while (!(next.value <= now.value - 1e-4 * size * slope) && size > 1e-8) {
      size /= 2;
      next = at(m.map((x, a) => x - size * way[a]!));
    }
    if (size <= 1e-8) break;
    m = m.map((x, a) => x - size * way[a]!);
    now = next;
  }
  return now.shares.map((share) => share * rows.length);
}

/** Weights by a network that learns them from batches; its own weights are the mean of the later half of the steps. */
export function gapWeights(sample: Sample, settings: GapSettings): Float64Array {
  const { rows, pool, prior } = sample;
  const { kernelGamma: gamma, tolerance, anchors, count, strength, steps, lr, seed } = settings;
  if (tolerance === Number.POSITIVE_INFINITY) return ofMeanOne(prior);
  const size = rows[0]!.length;
  const random = new Random(seed, "kernel-balance");
  // It begins at w0: its last layer is 0.
  const net = Mlp.fresh([size, HIDDEN, 1], random, 0);
  const half = Math.floor(steps / 2);
  const averaged = new Mlp(net.sizes, new Float64Array(net.weights.length));
  const descent = adam(lr);
  const fixed = anchors === "adaptive" ? anchorsOf(sample, settings) : undefined;
  const stacked = (list: readonly Float64Array[]) => {
    const all = new Float64Array(list.length * size);
    for (const [i, row] of list.entries()) all.set(row, i * size);
    return all;
  };
  for (let step = 0; step < steps; step++) {
    const batch = Array.from({ length: Math.min(BATCH, rows.length) }, () => random.below(rows.length));
    const near = batch.map((i) => rows[i]!);
    const far = Array.from(
      { length: Math.min(POOL_ROWS * BATCH, pool.length) },
      () => pool[random.below(pool.length)]!,
    );
    const pass = net.forward(stacked(near), batch.length);
    const raw = batch.map((i, b) => prior[i]! * Math.exp(pass.values.at(-1)![b]!));
    const level = mean(raw);
    const weights = raw.map((w) => w / level);
    const candidates = fixed ?? drawn(far.slice(0, 4 * CANDIDATES), anchors === "random" ? count : CANDIDATES, random);
    const gaps = gapsOf(candidates, near, weights, far, gamma);
    const chosen = anchors === "worst-case" ? largest(gaps, count) : [...gaps.keys()];
    const base = mean(batch.map((i) => prior[i]!));
    // Of w_b / B, the slope of entropy and hinges; then through the mean of 1.
    const slopes = near.map((row, b) => {
      let slope = Math.log((weights[b]! * base) / prior[batch[b]!]!) + 1;
      for (const a of chosen)
        if (Math.abs(gaps[a]!) > tolerance)
          slope -= strength * Math.sign(gaps[a]!) * kernelOf(candidates[a]!, row, gamma);
      return slope;
    });
    const common = mean(slopes.map((slope, b) => slope * weights[b]!));
    const into = new Float64Array(net.weights.length);
    net.backward(
      pass,
      Float64Array.from(slopes, (slope, b) => (weights[b]! * (slope - common)) / batch.length),
      into,
    );
    descent.step(net.weights, into);
    if (step >= half) for (const [i, w] of net.weights.entries()) averaged.weights[i]! += w / (steps - half);
  }
  const out = averaged.output(stacked(rows), rows.length);
  const most = out.reduce((a, b) => Math.max(a, b), -Infinity);
  return ofMeanOne(Float64Array.from(out, (x, i) => prior[i]! * Math.exp(x - most)));
}

/** (sum w)^2 / sum w^2: rows of equal weight that would be worth as much. */
export function effectiveSize(weights: Float64Array): number {
  const sum = weights.reduce((a, b) => a + b, 0);
  return sum ** 2 / weights.reduce((a, b) => a + b * b, 0);
}

/** Maximum mean discrepancy of weighed rows and the pool; of the first thousand of either. */
export function discrepancy(
  rows: readonly Float64Array[],
  weights: Float64Array,
  pool: readonly Float64Array[],
  gamma: number,
): number {
  const own = rows.slice(0, MEASURED);
  const w = ofMeanOne(weights.slice(0, MEASURED)).map((x) => x / own.length);
  const others = pool.slice(0, MEASURED);
  let sum = 0;
  for (const [i, a] of own.entries()) for (const [j, b] of own.entries()) sum += w[i]! * w[j]! * kernelOf(a, b, gamma);
  for (const [i, a] of own.entries())
    for (const b of others) sum -= (2 * w[i]! * kernelOf(a, b, gamma)) / others.length;
  for (const a of others) for (const b of others) sum += kernelOf(a, b, gamma) / others.length ** 2;
  return Math.sqrt(Math.max(0, sum));
}
