/** Searches on the GPU against loops in f64. */
import { expect, test } from "bun:test";
import { decodeFloats, encodeFloats } from "../../../src/checkpoint/decode.ts";
import { SharedSearch } from "../../../src/merge/transplant/shared-search.ts";
import { covers } from "../../support/covers.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { normals, randomWords } from "../../support/random.ts";
import { tableOf } from "./fixtures.ts";

covers("merge/strongest");
const gpu = await sharedGpu();

const dot = (a: ArrayLike<number>, at: number, b: ArrayLike<number>, bt: number, n: number) => {
  let sum = 0;
  for (let i = 0; i < n; i++) sum += a[at + i]! * b[bt + i]!;
  return sum;
};

test.each([
  [1, 1, 1, "F32"],
  [5, 63, 7, "F32"],
  [70, 65, 12, "BF16"],
  [3, 300, 33, "BF16"],
] as const)("of %i vectors among %i rows of %i, %s", async (count, rows, columns, dtype) => {
  const stored = encodeFloats(normals(1, rows * columns), dtype);
  const values = decodeFloats(stored, dtype);
  const ids = Int32Array.from({ length: rows }, (_, i) => rows - 1 - i); // in another order than they lie
  const search = await SharedSearch.open(gpu, tableOf(values, columns, dtype), ids);
  const queries = { count, values: Float32Array.from(normals(2, count * columns)) };
  const word = randomWords(3);
  const taken = Array.from({ length: count }, (_, q) => (rows < 4 ? [] : [word() % rows, (q * 7) % rows]));
  const found = await search.strongest(queries, taken);
  for (let q = 0; q < count; q++) {
    const sizes = Array.from(ids, (id, place) =>
      taken[q]!.includes(place) ? -1 : Math.abs(dot(queries.values, q * columns, values, id * columns, columns)),
    );
    expect(sizes[found[q]!]!).toBeGreaterThanOrEqual(Math.max(...sizes) * (1 - 1e-5));
    expect(taken[q]!).not.toContain(found[q]!);
  }
  await search.each(queries, (first, n, products) => {
    for (let q = 0; q < count; q++)
      for (let row = 0; row < n; row++) {
        const wanted = dot(queries.values, q * columns, values, ids[first + row]! * columns, columns);
        expect(Math.abs(products[q * n + row]! - wanted)).toBeLessThan(1e-4);
      }
  });
  search.free();
});

test("the first of equals is found, and none where all are taken", async () => {
  const search = await SharedSearch.open(gpu, tableOf(Float32Array.of(1, 0, -2, 0, 2, 0), 2), Int32Array.of(0, 1, 2));
  const queries = { count: 2, values: Float32Array.of(1, 5, 1, 5) };
  expect([...(await search.strongest(queries, [[], [1]]))]).toEqual([1, 2]);
  expect([
    ...(await search.strongest(queries, [
      [0, 1, 2],
      [2, 1],
    ])),
  ]).toEqual([-1, 0]);
  search.free();
});
