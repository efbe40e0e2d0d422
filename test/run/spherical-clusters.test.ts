/** Clusters by direction, and the routers that they make. */
import { describe, expect, test } from "bun:test";
import { Random } from "../../src/data/random.ts";
import { nearest, sphericalClusters } from "../../src/run/spherical-clusters.ts";

/** Vectors around `directions`, of lengths that differ ten times: which of them each is around. */
function blobs(count: number, directions: readonly (readonly number[])[], noise: number) {
  const random = new Random(1, "blobs");
  const of = Array.from({ length: count }, () => random.below(directions.length));
  const x = Float32Array.from(
    of.flatMap((e) => {
      const length = 0.5 + 5 * random.uniform();
      return directions[e]!.map((v) => length * (v + noise * random.normal()));
    }),
  );
  return { of, x };
}

const DIRECTIONS = [
  [1, 0, 0, 0],
  [0, 1, 0, 0],
  [0, 0, -1, 0],
] as const;

describe("spherical clusters", () => {
  test("find groups of directions, whatever their lengths", () => {
    const { of, x } = blobs(300, DIRECTIONS, 0.15);
    const found = sphericalClusters(x, { experts: 3, width: 4, key: [0] });
    const pairs = new Set(of.map((own, i) => `${own} ${found.of[i]}`));
    expect(pairs.size).toBe(3); // one cluster for each group
    for (let e = 0; e < 3; e++) expect(Math.hypot(...found.centroids.subarray(4 * e, 4 * e + 4))).toBeCloseTo(1, 5);
  });

  test("give routers whose load with one expert per token is the clusters' sizes", () => {
    const { x } = blobs(200, DIRECTIONS, 0.6);
    const found = sphericalClusters(x, { experts: 5, width: 4, key: [3] });
    const load = new Array<number>(5).fill(0);
    for (let i = 0; i < 200; i++) load[nearest(x, i, found.centroids, 4)]!++;
    expect(load).toEqual([...found.sizes]);
    expect(found.sizes.reduce((a, b) => a + b)).toBe(200);
    expect(Math.min(...found.sizes)).toBeGreaterThan(0);
  });

  test("are the same for the same key, and are nearest centroids by distance too", () => {
    const { x } = blobs(100, DIRECTIONS, 0.4);
    const found = sphericalClusters(x, { experts: 4, width: 4, key: [7, 1] });
    expect(sphericalClusters(x, { experts: 4, width: 4, key: [7, 1] })).toEqual(found);
    for (let i = 0; i < 100; i++) {
      const far = Array.from({ length: 4 }, (_, e) =>
        Math.hypot(...found.centroids.subarray(4 * e, 4 * e + 4).map((c, j) => c - x[4 * i + j]!)),
      );
      expect(far.indexOf(Math.min(...far))).toBe(found.of[i]!);
    }
  });

  test("of fewer directions than experts leave no expert without a vector", () => {
    const x = Float32Array.from({ length: 40 }, (_, i) => (i % 2 === 0 ? 1 : i % 4 === 1 ? 2 : -2));
    const found = sphericalClusters(x, { experts: 2, width: 2, key: [0] });
    expect(found.sizes).toEqual(expect.arrayContaining([10, 10]));
  });
});
