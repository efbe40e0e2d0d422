import { expect, test } from "bun:test";
import { shiftPositions, withAhead, withoutAhead } from "../../../src/tensor/ops/ahead.ts";
import { covers } from "../../support/covers.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { runOp } from "../../support/program.ts";

covers("ahead/copy-rows", "ahead/shift");

const gpu = await sharedGpu();
const counted = (length: number, from: number) => Float32Array.from({ length }, (_, i) => from + i);

test("the same rows stand before each block, and take the sum of the blocks' gradients", async () => {
  const { outputs, gradients } = await runOp(gpu, {
    inputs: {
      first: { shape: [1, 2], data: Float32Array.of(-1, -2), grad: true },
      x: { shape: [4, 2], data: counted(8, 0), grad: true },
    },
    build: (rec, { first, x }) => ({ y: withAhead(rec, first!, x!, 2) }),
    seeds: { y: counted(12, 1) },
  });
  expect([...outputs.y!]).toEqual([-1, -2, 0, 1, 2, 3, -1, -2, 4, 5, 6, 7]);
  expect([...gradients.first!]).toEqual([1 + 7, 2 + 8]);
  expect([...gradients.x!]).toEqual([3, 4, 5, 6, 9, 10, 11, 12]);
});

test("rows before each block are left out, and take no gradient", async () => {
  const { outputs, gradients } = await runOp(gpu, {
    inputs: { x: { shape: [6, 1], data: counted(6, 0), grad: true } },
    build: (rec, { x }) => ({ y: withoutAhead(rec, x!, 2, 2) }),
    seeds: { y: Float32Array.of(10, 20) },
  });
  expect([...outputs.y!]).toEqual([2, 5]);
  expect([...gradients.x!]).toEqual([0, 0, 10, 0, 0, 20]);
});

test("positions move on, and padding stays", async () => {
  const { outputs } = await runOp(gpu, {
    inputs: { x: { shape: [4], data: Int32Array.of(0, 1, -1, 7) } },
    build: (rec, { x }) => ({ y: shiftPositions(rec, x!, 5) }),
  });
  expect([...new Int32Array(outputs.y!.buffer)]).toEqual([5, 6, -1, 12]);
});
