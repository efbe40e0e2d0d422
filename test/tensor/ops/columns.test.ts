import { expect, test } from "bun:test";
import { splitColumns } from "../../../src/tensor/ops/columns.ts";
import { covers } from "../../support/covers.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { runOp } from "../../support/program.ts";

covers("columns/copy-columns");

const gpu = await sharedGpu();

test("columns are copied out, and their gradients put back where they belong", async () => {
  const { outputs, gradients } = await runOp(gpu, {
    inputs: { x: { shape: [2, 6], data: Float32Array.from({ length: 12 }, (_, i) => i), grad: true } },
    build: (rec, { x }) => {
      const [a, b, c] = splitColumns(rec, x!, [1, 2, 3]);
      return { a: a!, b: b!, c: c! };
    },
    seeds: { a: Float32Array.of(100, 200), c: Float32Array.of(1, 2, 3, 4, 5, 6) },
  });
  expect([...outputs.b!]).toEqual([1, 2, 7, 8]);
  expect([...outputs.c!]).toEqual([3, 4, 5, 9, 10, 11]);
  expect([...gradients.x!]).toEqual([100, 0, 0, 1, 2, 3, 200, 0, 0, 4, 5, 6]);
});
