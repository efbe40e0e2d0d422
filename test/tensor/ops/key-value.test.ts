/** Heads of keys and values: which key is nearest, and the mean of what keys hold. */
import { expect, test } from "bun:test";
import { nearestKeys, pooledValues } from "../../../src/tensor/ops/key-value.ts";
import { covers } from "../../support/covers.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { checkOp, runOp } from "../../support/program.ts";
import { normals } from "../../support/random.ts";

covers("key-value/nearest", "key-value/pool", "key-value/pool-gradient");

const gpu = await sharedGpu();

const SIZES = [
  [1, 1, 1, 1],
  [3, 2, 5, 4],
  [257, 3, 17, 3],
  [7, 31, 2, 9],
] as const;

/** The first of the nearest keys of each row and head, in f64. */
function nearest(u: Float32Array, keys: Float32Array, [n, heads, k, size]: readonly number[]): Int32Array {
  return Int32Array.from({ length: n! * heads! }, (_, i) => {
    const far = Array.from({ length: k! }, (_, key) => {
      const first = ((i % heads!) * k! + key) * size!;
      return Array.from({ length: size! }, (_, j) => (u[i * size! + j]! - keys[first + j]!) ** 2).reduce(
        (a, b) => a + b,
      );
    });
    return far.indexOf(Math.min(...far));
  });
}

test.each(SIZES)("%d rows find the nearest of keys of %d heads, %d of %d numbers", async (n, heads, k, size) => {
  const sizes = [n, heads, k, size];
  const u = normals(1, n * heads * size);
  const keys = normals(2, heads * k * size);
  if (k > 1) keys.copyWithin(size, 0, size); // equal keys: the first one counts
  const { outputs } = await runOp(gpu, {
    inputs: { u: { shape: [n, heads, size], data: u }, keys: { shape: [heads, k, size], data: keys } },
    build: (rec, { u, keys }) => nearestKeys(rec, u!, keys!),
  });
  const { buffer, byteOffset } = outputs.y!;
  expect([...new Int32Array(buffer, byteOffset, n * heads)]).toEqual([...nearest(u, keys, sizes)]);
});

test.each(SIZES)("%d rows: the mean of what %d heads hold, each of %d keys, for %d outputs", async (n, heads, k, v) => {
  const place = Int32Array.from({ length: n * heads }, (_, i) => (i * 7919 + 3) % k);
  await checkOp(gpu, "pooled values", {
    inputs: {
      values: { shape: [v, heads, k], data: normals(3, v * heads * k) },
      place: { shape: [n, heads], data: place, dtype: "i32" },
    },
    build: (rec, { values, place }) => pooledValues(rec, values!, place!),
    reference: ({ values }) =>
      Float64Array.from({ length: n * v }, (_, i) => {
        const [row, output] = [Math.floor(i / v), i % v];
        const own = Array.from(
          { length: heads },
          (_, c) => values![(output * heads + c) * k + place[row * heads + c]!]!,
        );
        return own.reduce((a, b) => a + b) / heads;
      }),
  });
});
