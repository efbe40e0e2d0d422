/** The discrepancy of two samples against float64, with its gradient by differences at a fixed bandwidth. */
import { expect, test } from "bun:test";
import { meanDiscrepancy } from "../../../src/tensor/ops/mean-discrepancy.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { finiteDifference, runOp } from "../../support/program.ts";
import { normals } from "../../support/random.ts";

const gpu = await sharedGpu();

const squaresOf = (x: ArrayLike<number>, rows: number, width: number) =>
  Array.from({ length: rows }, (_, i) =>
    Array.from({ length: rows }, (_, j) => {
      let sum = 0;
      for (let c = 0; c < width; c++) sum += (x[i * width + c]! - x[j * width + c]!) ** 2;
      return sum;
    }),
  );

/** Mean squared distance of two different rows. */
const meanOf = (squares: readonly number[][]) =>
  squares.flat().reduce((a, b) => a + b, 0) / (squares.length * (squares.length - 1));

function exact(x: ArrayLike<number>, rows: number, width: number, mean: number): number {
  const squares = squaresOf(x, rows, width);
  const n = rows / 2;
  let sum = 0;
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < rows; j++)
      for (const band of [0.25, 0.5, 1, 2, 4])
        sum += ((i < n ? 1 : -1) * (j < n ? 1 : -1) * Math.exp(-squares[i]![j]! / (band * mean))) / n ** 2;
  return sum;
}

test.each([
  [2, 3],
  [10, 1],
  [14, 37],
])("%i rows of %i values", async (rows, width) => {
  const data = normals(rows, rows * width).map((value, at) => value + (at < (rows * width) / 2 ? 0.5 : 0));
  const { outputs, gradients } = await runOp(gpu, {
    inputs: { x: { shape: [rows, width], data, grad: true } },
    build: (rec, { x }) => meanDiscrepancy(rec, x!),
    seeds: { y: Float32Array.of(0.7) },
  });
  const mean = meanOf(squaresOf(data, rows, width));
  const value = exact(data, rows, width, mean);
  expect(Math.abs(outputs.y![0]! - value)).toBeLessThan(1e-5 * (1 + value));
  const slopes = finiteDifference((at) => Float64Array.of(exact(at, rows, width, mean)), data, [0.7]);
  const most = slopes.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
  for (const [i, slope] of slopes.entries())
    expect(Math.abs(gradients.x![i]! - slope)).toBeLessThan(2e-5 * Math.max(most, 0.01));
});

test("a sample is not apart from itself, nor are rows that are all alike; the number of rows is even", async () => {
  const own = normals(3, 5 * 4);
  const of = async (data: Float32Array, rows: number) =>
    (await runOp(gpu, { inputs: { x: { shape: [rows, 4], data } }, build: (rec, { x }) => meanDiscrepancy(rec, x!) }))
      .outputs.y![0]!;
  expect(Math.abs(await of(Float32Array.of(...own, ...own), 10))).toBeLessThan(1e-6);
  expect(await of(new Float32Array(24).fill(1), 6)).toBeCloseTo(0, 6);
  expect(of(normals(1, 20), 5)).rejects.toThrow("two samples of one size");
});
