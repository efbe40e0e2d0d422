import { test } from "bun:test";
import { scale } from "../../../src/tensor/ops/elementwise.ts";
import { columnMaxima, columnSums, dot, mean, rowSum, sum } from "../../../src/tensor/ops/reduce.ts";
import { covers } from "../../support/covers.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { checkOp as check, hardware, type OpCheck } from "../../support/program.ts";
import { normals } from "../../support/random.ts";

covers("reduce/column-sums", "reduce/dot", "reduce/row-sums", "reduce/scaled-by", "reduce/spread");

const gpu = await sharedGpu();

/** With the kernels of this adapter, and with those of a real GPU. */
async function checkOp(on: typeof gpu, name: string, op: OpCheck): Promise<void> {
  await check(on, name, op);
  await check(on, name, { ...op, profile: hardware });
}

test.each([1, 3, 255, 257, 40_001])("sum, mean and inner product of %d values", async (n) => {
  const x = { shape: [n], data: normals(1, n).map((v) => v + 1) };
  const add = (values: Float64Array) => values.reduce((a, b) => a + b, 0);
  await checkOp(gpu, "sum", {
    inputs: { x },
    build: (rec, { x }) => sum(rec, x!),
    reference: ({ x }) => Float64Array.of(add(x!)),
  });
  await checkOp(gpu, "mean", {
    inputs: { x },
    build: (rec, { x }) => mean(rec, x!),
    reference: ({ x }) => Float64Array.of(add(x!) / n),
  });
  await checkOp(gpu, "dot", {
    inputs: { x, y: { shape: [n], data: normals(2, n).map((v) => v + 1) } },
    build: (rec, { x, y }) => dot(rec, x!, y!),
    reference: ({ x, y }) => Float64Array.of(add(x!.map((v, i) => v * y![i]!))),
    // The sum of products may be far smaller than its terms.
    forward: 1e-5,
  });
});

test.each([
  [1, 1],
  [3, 255],
  [257, 3],
  [300, 257],
])("row sums of %d x %d", async (rows, width) => {
  await checkOp(gpu, "row sums", {
    inputs: { x: { shape: [rows, width], data: normals(3, rows * width) } },
    build: (rec, { x }) => rowSum(rec, x!, 0.5),
    reference: ({ x }) =>
      Float64Array.from(
        { length: rows },
        (_, r) => 0.5 * x!.subarray(r * width, (r + 1) * width).reduce((a, b) => a + b, 0),
      ),
  });
});

test.each([
  [1, 1],
  [3, 255],
  [257, 3],
  [300, 65],
  [1000, 7],
])("column sums of %d x %d", async (rows, width) => {
  await checkOp(gpu, "column sums", {
    inputs: { x: { shape: [rows, width], data: normals(4, rows * width), grad: false } },
    build: (rec, { x }) => {
      const into = rec.scratch([width], "sums");
      columnSums(rec, x!, { into, accumulate: 0 });
      columnSums(rec, x!, { into, accumulate: 1 });
      return into;
    },
    reference: ({ x }) => {
      const sums = new Float64Array(width);
      for (const [i, v] of x!.entries()) sums[i % width]! += 2 * v;
      return sums;
    },
  });
  await checkOp(gpu, "column maxima", {
    inputs: { x: { shape: [rows, width], data: normals(4, rows * width), grad: false } },
    build: (rec, { x }) => {
      const into = rec.scratch([width], "maxima");
      columnMaxima(rec, x!, { into, accumulate: 0 });
      columnMaxima(rec, scale(rec, x!, 1.5), { into, accumulate: 1 });
      return into;
    },
    reference: ({ x }) => {
      const most = new Float64Array(width);
      for (const [i, v] of x!.entries()) most[i % width] = Math.max(most[i % width]!, 1.5 * v);
      return most;
    },
  });
});
