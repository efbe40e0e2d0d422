import { expect, test } from "bun:test";
import { add } from "../../../src/tensor/ops/elementwise.ts";
import { embedding } from "../../../src/tensor/ops/embedding.ts";
import { covers } from "../../support/covers.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { checkOp, runOp } from "../../support/program.ts";
import { normals } from "../../support/random.ts";

covers("embedding/gather", "embedding/links", "embedding/scatter", "embedding/zero");

const gpu = await sharedGpu();

test.each([
  [1, 1, 1],
  [3, 255, 257],
  [257, 5, 3],
  [300, 40, 65],
])("%d tokens out of %d x %d, forward and back", async (n, v, c) => {
  const ids = Int32Array.from({ length: n }, (_, i) => (i * i + 1) % v);
  await checkOp(gpu, "embedding", {
    inputs: { ids: { shape: [n], data: ids, dtype: "i32" }, table: { shape: [v, c], data: normals(1, v * c) } },
    build: (rec, { ids, table }) => embedding(rec, ids!, table!),
    reference: ({ table }) =>
      Float64Array.from({ length: n * c }, (_, i) => table![ids[Math.floor(i / c)]! * c + (i % c)]!),
  });
});

test("ids outside the table give zeros and take nothing; two uses of a table add up", async () => {
  const { outputs, gradients } = await runOp(gpu, {
    inputs: {
      ids: { shape: [4], data: Int32Array.of(1, -1, 7, 1), dtype: "i32" },
      table: { shape: [2, 1], data: Float32Array.of(5, 6), grad: true },
    },
    build: (rec, { ids, table }) => add(rec, embedding(rec, ids!, table!), embedding(rec, ids!, table!)),
    seeds: { y: Float32Array.of(1, 10, 100, 1000) },
  });
  expect([...outputs.y!]).toEqual([12, 0, 0, 12]);
  expect([...gradients.table!]).toEqual([0, 2002]);
});

test("tables of bf16 are read as they are", async () => {
  const { outputs } = await runOp(gpu, {
    inputs: {
      ids: { shape: [2], data: Int32Array.of(1, 0), dtype: "i32" },
      table: { shape: [2, 3], data: Uint16Array.of(0x3f80, 0x4000, 0x4040, 0xbf80, 0xc000, 0xc040), dtype: "bf16" },
    },
    build: (rec, { ids, table }) => embedding(rec, ids!, table!),
  });
  expect([...outputs.y!]).toEqual([-1, -2, -3, 1, 2, 3]);
});
