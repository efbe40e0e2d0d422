/** The Karcher mean: what defines it is that the angles to the models, as vectors, sum to zero. */
import { expect, test } from "bun:test";
import { karcherWeights, method } from "../../../../src/merge/methods/spherical/karcher.ts";
import { sharedGpu } from "../../../support/gpu.ts";
import { withJob } from "../../../support/job.ts";
import { normals } from "../../../support/random.ts";

const dot = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Array.from(a).reduce((sum, x, i) => sum + x * b[i]!, 0);

test("the tangent at the mean vanishes, and its length is the mean length", async () => {
  const gpu = await sharedGpu();
  const models = [1, 2, 3, 4].map((seed) => normals(seed, 3001, seed, 0.3));
  const values = { max_iter: 50, tol: 1e-7 };
  const { written } = await withJob(gpu, { models, values, settings: { chunkValues: 1024 } }, (job) =>
    method.merge(job),
  );
  const norm = Math.sqrt(dot(written, written));
  const lengths = models.map((x) => Math.sqrt(dot(x, x)));
  expect(norm / (lengths.reduce((a, b) => a + b, 0) / 4)).toBeCloseTo(1, 5);
  const unit = Array.from(written, (x) => x / norm);
  const tangent = unit.map(() => 0);
  for (const [k, x] of models.entries()) {
    const cosine = dot(unit, x) / lengths[k]!;
    const factor = Math.acos(cosine) / Math.sqrt(1 - cosine * cosine) / 4;
    for (let i = 0; i < unit.length; i++) tangent[i]! += factor * (x[i]! / lengths[k]! - cosine * unit[i]!);
  }
  expect(Math.sqrt(dot(tangent, tangent))).toBeLessThan(1e-5);
});

test("zero models count for the length only; all zero give zero; opposite ones give the first", () => {
  const weights = karcherWeights(
    [
      [4, 0, 0],
      [0, 0, 0],
      [0, 0, 9],
    ],
    10,
    1e-5,
  );
  expect(weights[1]).toBe(0);
  const length = Math.hypot(2 * weights[0]!, 3 * weights[2]!);
  expect(length).toBeCloseTo(5 / 3, 10);
  expect(
    karcherWeights(
      [
        [0, 0],
        [0, 0],
      ],
      10,
      1e-5,
    ),
  ).toEqual([0, 0]);
  const [first, second] = karcherWeights(
    [
      [1, -1],
      [-1, 1],
    ],
    1,
    1e-5,
  );
  expect(Number.isFinite(first! + second!)).toBe(true);
});

test("no iterations leave the mean of the directions", () => {
  const gram = [
    [4, 0],
    [0, 16],
  ];
  // Directions e1, e2 at the mean length 3: 3/sqrt(2) (e1 + e2), in models of lengths 2 and 4.
  const [a, b] = karcherWeights(gram, 0, 1e-5);
  expect(a).toBeCloseTo(3 / Math.SQRT2 / 2, 12);
  expect(b).toBeCloseTo(3 / Math.SQRT2 / 4, 12);
  expect(method.options.max_iter).toMatchObject({ type: "number.integer >= 0" });
});
