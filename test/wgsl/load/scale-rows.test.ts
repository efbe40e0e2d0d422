import { beforeAll, expect, test } from "bun:test";
import type { Gpu } from "../../../src/gpu/gpu.ts";
import { covers } from "../../support/covers.ts";
import { EPSILON, expectWithin } from "../../support/floats.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { normals } from "../../support/random.ts";

covers("load/scale-rows");

let gpu: Gpu;
beforeAll(async () => {
  gpu = await sharedGpu();
});

async function scaled(weight: Float32Array, magnitude: Float32Array, columns: number, row: number, grid?: number) {
  const rows = weight.length / columns;
  using lengths = gpu.upload(magnitude, "magnitude");
  using held = gpu.upload(weight, "weight");
  const wide = Math.min(rows, grid ?? 65_535);
  gpu.run(await gpu.kernel("load/scale-rows"), {
    bind: { magnitude: lengths.buffer, weight: held.buffer },
    params: { rows, columns, row },
    groups: [wide, Math.ceil(rows / wide)],
  });
  return gpu.readFloats(held.buffer, weight.length);
}

function reference(weight: Float32Array, magnitude: Float32Array, columns: number, row: number): Float64Array {
  const out = new Float64Array(weight.length);
  for (let start = 0; start < weight.length; start += columns) {
    let squares = 0;
    for (let c = 0; c < columns; c++) squares += weight[start + c]! ** 2;
    const factor = squares === 0 ? 0 : magnitude[row + start / columns]! / Math.sqrt(squares);
    for (let c = 0; c < columns; c++) out[start + c] = weight[start + c]! * factor;
  }
  return out;
}

test.each([
  [1, 1, 0],
  [3, 5, 2],
  [5, 63, 0],
  [4, 64, 1],
  [2, 65, 0],
  [257, 255, 3],
  [3, 4097, 0],
  [2, 65_537, 1],
])("(%d, %d) from row %d on", async (rows, columns, row) => {
  const weight = normals(1, rows * columns, 3);
  const magnitude = normals(2, rows + row, 1, 4);
  const expected = reference(weight, magnitude, columns, row);
  // Each of 64 lanes adds columns / 64 squares in turn; half of that error passes to the root; inverse and product round too.
  const tolerance = 2 * EPSILON.F32 * (columns / 64 / 2 + 10);
  expectWithin(await scaled(weight, magnitude, columns, row), expected, (i) => tolerance * Math.abs(expected[i]!));
});

test("rows folded over y, with workgroups to spare", async () => {
  const weight = normals(3, 101 * 7);
  const magnitude = normals(4, 101, 1, 4);
  const expected = reference(weight, magnitude, 7, 0);
  const found = await scaled(weight, magnitude, 7, 0, 10); // 11 rows of 10 workgroups
  expectWithin(found, expected, (i) => 24 * EPSILON.F32 * Math.abs(expected[i]!));
});

test("a row of zeros has no direction and stays zero", async () => {
  const weight = new Float32Array([0, 0, 0, 3, 0, 4, 0, -0, 0]);
  const found = await scaled(weight, new Float32Array([2, 10, 5]), 3, 0);
  expectWithin(found, [0, 0, 0, 6, 0, 8, 0, 0, 0], () => 8 * 24 * EPSILON.F32);
  expect(found[0]).toBe(0);
});
