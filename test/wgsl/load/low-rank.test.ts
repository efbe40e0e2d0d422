import { beforeAll, expect, test } from "bun:test";
import type { Gpu } from "../../../src/gpu/gpu.ts";
import { spanGroups } from "../../../src/gpu/grid.ts";
import { covers } from "../../support/covers.ts";
import { EPSILON, expectWithin } from "../../support/floats.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { normals } from "../../support/random.ts";

covers("load/low-rank");

let gpu: Gpu;
beforeAll(async () => {
  gpu = await sharedGpu();
});

test.each([
  { rows: 1, columns: 1, rank: 1, row: 0, done: 1 },
  { rows: 3, columns: 5, rank: 1, row: 0, done: 3 },
  { rows: 7, columns: 257, rank: 8, row: 2, done: 4 },
  { rows: 255, columns: 3, rank: 16, row: 254, done: 1 },
  { rows: 64, columns: 4097, rank: 4, row: 1, done: 62 },
  { rows: 65_537, columns: 1, rank: 2, row: 5, done: 65_000 },
  { rows: 13, columns: 11, rank: 64, row: 0, done: 13 },
  { rows: 13, columns: 11, rank: 3, row: 4, done: 7, column: 5 },
  { rows: 9, columns: 4097, rank: 2, row: 1, done: 5, column: 4096 },
])("adds a product of rank $rank to a ($rows, $columns) matrix, from row $row on", async (sizes) => {
  const { rows, columns, rank, row, done, column = 0 } = sizes;
  const left = normals(1, rows * rank);
  const right = normals(2, rank * columns);
  const weight = normals(3, done * columns);
  const scale = -0.37;
  const n = done * columns;
  using lefts = gpu.upload(left, "left");
  using rights = gpu.upload(right, "right");
  const guarded = new Float32Array(n + 4).fill(7);
  guarded.set(weight);
  using held = gpu.upload(guarded, "weight");
  gpu.run(await gpu.kernel("load/low-rank"), {
    bind: { left: lefts.buffer, right: rights.buffer, weight: held.buffer },
    params: { n, columns, rank, row, column, scale },
    groups: spanGroups(n),
  });
  const found = await gpu.readFloats(held.buffer, n + 4);
  const expected = new Float64Array(n);
  const terms = new Float64Array(n);
  for (let i = 0; i < n; i++) {
    let sum = 0;
    for (let k = 0; k < rank; k++) {
      const at = column + i;
      const term = left[(row + Math.floor(at / columns)) * rank + k]! * right[k * columns + (at % columns)]!;
      sum += term;
      terms[i]! += Math.abs(term);
    }
    expected[i] = weight[i]! + Math.fround(scale) * sum;
    terms[i]! += Math.abs(weight[i]!);
  }
  // One rounding per term and two more, relative to the terms' sizes.
  expectWithin(found.slice(0, n), expected, (i) => (rank + 2) * 2 * EPSILON.F32 * terms[i]!);
  expect([...found.slice(n)]).toEqual([7, 7, 7, 7]);
});
