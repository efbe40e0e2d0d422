/** Truncated decompositions and those of products against Jacobi rotations in f64. */
import { describe, expect, test } from "bun:test";
import { hostMatrix, hostProduct, rebuilt } from "../../../src/tensor/linear-algebra/leading-svd.ts";
import { rowBasis, squaresOfProduct, svdOfProduct } from "../../../src/tensor/linear-algebra/low-rank.ts";
import { svd } from "../../../src/tensor/linear-algebra/svd.ts";
import { isRandomised, residualSquares, truncatedSvd } from "../../../src/tensor/linear-algebra/truncated-svd.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { normals } from "../../support/random.ts";

const drawn = (seed: number, rows: number, columns: number) =>
  hostMatrix(rows, columns, Float64Array.from(normals(seed, rows * columns, 1)));
const refuse = () => Promise.reject(new Error("no GPU was wanted"));
const squares = (values: Float64Array) => values.reduce((sum, value) => sum + value ** 2, 0);

describe("a product of thin matrices", () => {
  test.each([
    [7, 2, 9],
    [9, 3, 4],
    [5, 5, 6],
    [3, 8, 4],
  ])("(%i, %i) by (., %i) has the triplets of the whole", (out, rank, into) => {
    const [b, a] = [drawn(1, out, rank), drawn(2, rank, into)];
    const whole = hostProduct(b, a);
    const found = svdOfProduct(b, a);
    const { s } = svd(whole.values, out, into);
    for (const [k, value] of found.s.entries()) expect(value).toBeCloseTo(s[k]!, 9);
    for (const [i, value] of rebuilt(found).values.entries()) expect(value).toBeCloseTo(whole.values[i]!, 9);
    expect(squaresOfProduct(b, a)).toBeCloseTo(squares(whole.values), 8);
    expect(svdOfProduct(b, a, 1).s).toHaveLength(1);
  });

  test("of zeros has none, and rows that repeat others add none", () => {
    expect(svdOfProduct(hostMatrix(4, 2), drawn(3, 2, 5)).s).toHaveLength(0);
    const twice = hostMatrix(3, 2, Float64Array.of(1, 2, 2, 4, 0, 1));
    const { basis, coefficients } = rowBasis(twice);
    expect(basis.rows).toBe(2);
    for (const [i, value] of hostProduct(coefficients, basis).values.entries())
      expect(value).toBeCloseTo(twice.values[i]!, 12);
  });
});

test("a small matrix is decomposed on the host, and what is left out is told", async () => {
  const { values } = drawn(4, 12, 10);
  const { s } = svd(values, 12, 10);
  const found = await truncatedSvd({ rows: 12, columns: 10, values }, 3, refuse);
  for (const [k, value] of found.s.entries()) expect(value).toBeCloseTo(s[k]!, 9);
  const rest = await residualSquares({ rows: 12, columns: 10, values }, found, refuse);
  expect(rest).toBeCloseTo(squares(s.slice(3)), 8);
});

test.each([
  ["tall", 300, 210],
  ["wide", 210, 300],
])("a %s matrix is decomposed on the GPU as exactly as f32 allows", async (_, rows, columns) => {
  const signal = hostProduct(drawn(5, rows, 6), drawn(6, 6, columns));
  const values = Float32Array.from(signal.values, (value, i) => value + 0.05 * Math.sin(i * i));
  expect(isRandomised(rows, columns, 8)).toBe(true);
  const found = await truncatedSvd({ rows, columns, values }, 8, sharedGpu);
  const { s } = svd(values, rows, columns);
  for (const [k, value] of found.s.entries()) expect(Math.abs(value - s[k]!) / s[k]!).toBeLessThan(k < 6 ? 2e-6 : 1e-2);
  const rest = await residualSquares({ rows, columns, values }, found, sharedGpu);
  expect(rest / squares(s.slice(8))).toBeCloseTo(1, 3);
  const again = await truncatedSvd({ rows, columns, values }, 8, sharedGpu);
  expect([...again.left.values]).toEqual([...found.left.values]);
});

test("an exact low rank is found, and nothing beyond it", async () => {
  const values = Float32Array.from(hostProduct(drawn(7, 260, 4), drawn(8, 4, 250)).values);
  const found = await truncatedSvd({ rows: 260, columns: 250, values }, 20, sharedGpu);
  expect(found.s.filter((s) => s > 1e-5 * found.s[0]!)).toHaveLength(4);
  const rest = await residualSquares({ rows: 260, columns: 250, values }, found, sharedGpu);
  expect(Math.sqrt(rest / squares(Float64Array.from(values)))).toBeLessThan(1e-6);
});

test("values that are not finite are refused", async () => {
  const values = new Float32Array(300 * 300).fill(1);
  values[7] = Number.NaN;
  expect(truncatedSvd({ rows: 300, columns: 300, values }, 4, sharedGpu)).rejects.toThrow("a matrix with NaN");
});
