import { expect, test } from "bun:test";
import { joinHeads } from "../../../src/tensor/ops/heads.ts";
import { covers } from "../../support/covers.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { checkOp, runOp } from "../../support/program.ts";
import { normals } from "../../support/random.ts";

covers("heads/move-heads");

const gpu = await sharedGpu();
const [N, H] = [5, 3];
const inputs = {
  x: { shape: [N, H * 7], data: normals(1, N * H * 7) },
  shared: { shape: [N, 4], data: normals(2, N * 4) },
};

test("own columns, those of all heads, and zeros, with gradients", async () => {
  await checkOp(gpu, "heads", {
    inputs,
    build: (rec, { x, shared }) =>
      joinHeads(rec, H, 9, [
        { x: x!, width: 7, first: 2, columns: 3 },
        { x: shared!, width: 4, first: 0, columns: 4 },
      ]),
    reference: ({ x, shared }) =>
      Float64Array.from({ length: N * H * 9 }, (_, i) => {
        const [n, h, j] = [Math.floor(i / (9 * H)), Math.floor(i / 9) % H, i % 9];
        if (j < 3) return x![n * H * 7 + h * 7 + 2 + j]!;
        return j < 7 ? shared![n * 4 + j - 3]! : 0;
      }),
  });
});

test("the same matrix twice: gradients of both uses add up", async () => {
  await checkOp(gpu, "heads, one matrix twice", {
    inputs: { x: inputs.x },
    build: (rec, { x }) =>
      joinHeads(rec, H, 5, [
        { x: x!, width: 7, first: 5, columns: 2 },
        { x: x!, width: 7, first: 4, columns: 3 },
      ]),
    reference: ({ x }) =>
      Float64Array.from({ length: N * H * 5 }, (_, i) => {
        const [row, j] = [Math.floor(i / 5), i % 5];
        return x![row * 7 + (j < 2 ? 5 + j : 4 + j - 2)]!;
      }),
  });
});

test.each([
  [{ width: 7, first: 5, columns: 3 }, 9],
  [{ width: 7, first: 0, columns: 7 }, 6],
  [{ width: 10, first: 0, columns: 1 }, 9],
] as const)("%p of heads of %d are refused", async (part, width) => {
  const run = runOp(gpu, {
    inputs: { x: inputs.x },
    build: (rec, { x }) => ({ y: joinHeads(rec, H, width, [{ x: x!, ...part }]) }),
  });
  await expect(run).rejects.toThrow(`for 3 heads of ${width}`);
});
