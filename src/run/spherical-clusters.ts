/**
 * Routers from clusters of what they read: spherical k-means, whose centroids are unit vectors and whose rule of
 * assignment is the largest product. So a router with the centroids as rows, which has no bias, sends every vector to
 * the cluster that k-means put it into.
 *
 * Liu et al., Moirai-MoE, 2024, https://arxiv.org/abs/2410.10469, section 3.2.3: gates by distance to the centroids of
 * a pretrained model's states. Departs from it in one point: distances to centroids of any length are
 * argmax 2 h.C - |C|^2, which needs a bias that no layout of published mixtures has; unit centroids make it constant.
 * Clustering: Dhillon and Modha, Machine Learning 42, 2001; first centroids as Arthur and Vassilvitskii, SODA 2007.
 */
import { Random } from "../data/random.ts";

const ROUNDS = 50;

export interface Clusters {
  /** (E, C), each of unit length. */
  readonly centroids: Float32Array;
  /** Which cluster each vector is in. */
  readonly of: Int32Array;
  /** Vectors of each cluster. */
  readonly sizes: readonly number[];
}

/** Product of vector `i` of `x` with row `e` of `rows`, in f64. */
function product(x: Float32Array, i: number, rows: Float32Array | Float64Array, e: number, width: number): number {
  let sum = 0;
  for (let c = 0, a = i * width, b = e * width; c < width; c++) sum += x[a + c]! * rows[b + c]!;
  return sum;
}

/** The row with the largest product, the first of equals. */
export function nearest(x: Float32Array, i: number, rows: Float32Array, width: number): number {
  let [best, most] = [0, Number.NEGATIVE_INFINITY];
  for (let e = 0; e < rows.length / width; e++) {
    const value = product(x, i, rows, e, width);
    if (value > most) [best, most] = [e, value];
  }
  return best;
}

/** First centroids: vectors drawn with a probability that grows with the angle to those drawn before. */
function firstCentroids(x: Float32Array, lengths: Float64Array, { experts, width, random }: Sizes): Float32Array {
  const count = lengths.length;
  const rows = new Float32Array(experts * width);
  const far = new Float64Array(count).fill(1); // 1 - cosine to the nearest centroid
  for (let e = 0; e < experts; e++) {
    const weights = e === 0 ? lengths.map((length) => (length > 0 ? 1 : 0)) : far;
    const chosen = random.weighted([...weights]);
    for (let c = 0; c < width; c++) rows[e * width + c] = x[chosen * width + c]! / (lengths[chosen]! || 1);
    for (let i = 0; i < count; i++) {
      const cosine = lengths[i]! > 0 ? product(x, i, rows, e, width) / lengths[i]! : 1;
      far[i] = Math.max(0, Math.min(far[i]!, 1 - cosine));
    }
  }
  return rows;
}

interface Sizes {
  readonly experts: number;
  readonly width: number;
  readonly random: Random;
}

/**
 * Clusters vectors (N, C) by direction. An empty cluster takes the vector that fits its own worst. Deterministic for a
 * key. Time: N * E * C products a round, at most 50 rounds.
 */
export function sphericalClusters(
  x: Float32Array,
  {
    experts,
    width,
    key,
  }: { readonly experts: number; readonly width: number; readonly key: readonly (string | number)[] },
): Clusters {
  const count = x.length / width;
  const lengths = Float64Array.from({ length: count }, (_, i) => Math.sqrt(product(x, i, x, i, width)));
  const centroids = firstCentroids(x, lengths, { experts, width, random: new Random("clusters", ...key) });
  const of = new Int32Array(count).fill(-1);
  for (let round = 0; round < ROUNDS; round++) {
    let moved = 0;
    for (let i = 0; i < count; i++) {
      const best = nearest(x, i, centroids, width);
      if (best !== of[i]) moved++;
      of[i] = best;
    }
    fillEmpty(x, of, centroids, { lengths, experts, width });
    if (moved === 0) break;
    moveCentroids(x, of, centroids, { lengths, experts, width });
  }
  // Centroids moved once more than vectors where the rounds ran out.
  for (let i = 0; i < count; i++) of[i] = nearest(x, i, centroids, width);
  const sizes = Array.from({ length: experts }, (_, e) => of.reduce((sum, own) => sum + (own === e ? 1 : 0), 0));
  return { centroids, of, sizes };
}

interface Layout {
  readonly lengths: Float64Array;
  readonly experts: number;
  readonly width: number;
}

/** Every centroid becomes the direction of the sum of its vectors' directions. */
function moveCentroids(x: Float32Array, of: Int32Array, rows: Float32Array, { lengths, experts, width }: Layout): void {
  const sums = new Float64Array(experts * width);
  for (const [i, e] of of.entries())
    if (lengths[i]! > 0) for (let c = 0; c < width; c++) sums[e * width + c]! += x[i * width + c]! / lengths[i]!;
  for (let e = 0; e < experts; e++) {
    const sum = sums.subarray(e * width, (e + 1) * width);
    const length = Math.sqrt(sum.reduce((total, value) => total + value * value, 0));
    if (length > 0) for (const [c, value] of sum.entries()) rows[e * width + c] = value / length;
  }
}

/** Gives every cluster without a vector the one that is farthest from its own centroid. */
function fillEmpty(x: Float32Array, of: Int32Array, rows: Float32Array, { lengths, experts, width }: Layout): void {
  const sizes = new Int32Array(experts);
  for (const e of of) sizes[e]!++;
  for (let e = 0; e < experts; e++) {
    if (sizes[e]! > 0) continue;
    let [worst, least] = [-1, Number.POSITIVE_INFINITY];
    for (const [i, own] of of.entries()) {
      const cosine = lengths[i]! > 0 ? product(x, i, rows, own, width) / lengths[i]! : Number.POSITIVE_INFINITY;
      if (sizes[own]! > 1 && cosine < least) [worst, least] = [i, cosine];
    }
    if (worst < 0) return;
    sizes[of[worst]!]!--;
    sizes[e] = 1;
    of[worst] = e;
  }
}
