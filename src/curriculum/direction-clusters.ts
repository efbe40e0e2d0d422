/** Clusters of vectors by direction, as many as their spread asks for. */
import { sphericalClusters } from "../run/spherical-clusters.ts";

/** Vectors that all point to one side of their cluster's centroid: the mean of 1 - cosine. */
function dispersion(x: Float32Array, of: Int32Array, centroids: Float32Array, width: number): number {
  let sum = 0;
  for (const [i, cluster] of of.entries()) {
    let [dot, square] = [0, 0];
    for (let c = 0; c < width; c++) {
      const value = x[i * width + c]!;
      dot += value * centroids[cluster * width + c]!;
      square += value * value;
    }
    sum += square > 0 ? 1 - dot / Math.sqrt(square) : 0;
  }
  return sum / of.length;
}

/** The place where a falling curve bends most: farthest below the line from its first to its last point. */
export function elbow(values: readonly number[]): number {
  const last = values.length - 1;
  const drop = values[0]! - values[last]!;
  if (last < 2 || drop <= 0) return 0;
  const below = values.map((value, i) => 1 - i / last - (value - values[last]!) / drop);
  return below.reduce((best, gap, i) => (gap > below[best]! ? i : best), 0);
}

/** Numbers of clusters that are tried: 1, 2, 4, ... up to half the vectors, 64 at most. */
const triedFor = (count: number): number[] =>
  [1, 2, 4, 8, 16, 32, 64].filter((clusters) => clusters === 1 || 2 * clusters <= count);

/**
 * The cluster of each vector, all equally long. `clusters`: how many; where the dispersion bends most when 0. Empty
 * clusters are left out. Deterministic for the seed.
 */
export function directionClusters(vectors: readonly Float64Array[], clusters: number, seed: number): number[][] {
  const count = vectors.length;
  const width = vectors[0]?.length ?? 0;
  if (count === 0) return [];
  const x = new Float32Array(count * width);
  for (const [i, vector] of vectors.entries()) x.set(vector, i * width);
  const clustered = (experts: number) => {
    const { of, centroids } = sphericalClusters(x, { experts, width, key: [seed, "directions", experts] });
    return { of, dispersion: dispersion(x, of, centroids, width) };
  };
  const pick = () => {
    if (clusters > 0) return clustered(Math.min(clusters, count));
    const tried = triedFor(count).map(clustered);
    return tried[elbow(tried.map((one) => one.dispersion))]!;
  };
  const { of } = pick();
  const members = new Map<number, number[]>();
  for (const [i, cluster] of of.entries()) members.set(cluster, [...(members.get(cluster) ?? []), i]);
  return [...members].sort(([a], [b]) => a - b).map(([, rows]) => rows);
}
