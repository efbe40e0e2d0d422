import { describe, expect, test } from "bun:test";
import { type Affine, affineValues, refit, rowErrors, type Weighed } from "../../src/compress/refit.ts";
import { covers } from "../support/covers.ts";
import { sharedGpu } from "../support/gpu.ts";
import { gramOf, mixedRows } from "../support/layer.ts";
import { normals, randomUnits } from "../support/random.ts";

covers("compress/group-sums");

const gpu = await sharedGpu();

/** Random integers of 3 bits for random weights, and the error of each row in f64. */
function problem(rows: number, columns: number, group: number, gram: ArrayLike<number>) {
  const weight = normals(3, rows * columns);
  const unit = randomUnits(4);
  const groups = Math.ceil(columns / group);
  const found: Affine = {
    // Integers that go with the weights, as any quantizer's do.
    codes: Uint8Array.from(weight, (w) => Math.min(7, Math.max(0, Math.round(3.5 + 2 * w + unit() - 0.5)))),
    scales: new Float32Array(rows * groups).fill(0.4),
    offsets: new Float32Array(rows * groups).fill(-1.5),
  };
  const errors = (one: Affine) => {
    const values = affineValues(one, columns, group);
    return Array.from({ length: rows }, (_, row) => {
      let sum = 0;
      for (let i = 0; i < columns; i++)
        for (let j = 0; j < columns; j++) {
          const [a, b] = [row * columns + i, row * columns + j];
          sum += (weight[a]! - values[a]!) * gram[i * columns + j]! * (weight[b]! - values[b]!);
        }
      return sum;
    });
  };
  const held = gpu.upload(weight, "weight");
  const buffer = gpu.upload(Float32Array.from(gram), "gram");
  const work: Weighed = {
    ...{ gpu, weight: held, rows, columns, group },
    gram: { buffer: buffer.buffer, rows: columns, columns },
  };
  return { work, weight, found, errors };
}

describe.each([
  [3, 20, 20],
  [5, 37, 16],
  [2, 9, 4],
])("%i rows of %i in groups of %i", (rows, columns, group) => {
  const { gram } = gramOf(mixedRows(2, 80, columns), columns);

  test("errors of rows are those in f64", async () => {
    const { work, found, errors } = problem(rows, columns, group, gram);
    const expected = errors(found);
    for (const [row, error] of (await rowErrors(work, found)).entries())
      expect(error / expected[row]!).toBeCloseTo(1, 4);
  });

  test("no other scale or offset is better", async () => {
    const { work, found, errors } = problem(rows, columns, group, gram);
    const best = await refit(work, found);
    const least = errors(best);
    for (const [row, error] of errors(found).entries()) expect(least[row]!).toBeLessThanOrEqual(error);
    for (const part of ["scales", "offsets"] as const)
      for (const step of [0.01, -0.01])
        for (const cell of best[part].keys()) {
          const moved = { ...best, [part]: best[part].map((x, i) => (i === cell ? x + step : x)) };
          const row = Math.floor(cell / Math.ceil(columns / group));
          expect(errors(moved)[row]!).toBeGreaterThan(least[row]! * (1 - 1e-4));
        }
  });

  test("nor of symmetric integers, whose middle stays 0", async () => {
    const { work, found, errors } = problem(rows, columns, group, gram);
    const start = { ...found, offsets: found.scales.map((scale) => -4 * scale) };
    const best = await refit(work, start, 4);
    expect(best.offsets).toEqual(best.scales.map((scale) => -4 * scale));
    const least = errors(best);
    for (const factor of [0.98, 1.02]) {
      const scales = best.scales.map((x) => factor * x);
      const moved = errors({ ...best, scales, offsets: scales.map((scale) => -4 * scale) });
      for (const [row, error] of moved.entries()) expect(error).toBeGreaterThan(least[row]! * (1 - 1e-4));
    }
  });
});

test("with H = I it is the linear regression of weights on integers", async () => {
  const columns = 25;
  const identity = Float64Array.from({ length: columns ** 2 }, (_, i) => Number(i % (columns + 1) === 0));
  const { work, weight, found } = problem(3, columns, columns, identity);
  const { scales, offsets } = await refit(work, found);
  for (let row = 0; row < 3; row++) {
    const w = Array.from(weight.subarray(row * columns, (row + 1) * columns));
    const q = Array.from(found.codes.subarray(row * columns, (row + 1) * columns));
    const mean = (values: number[]) => values.reduce((sum, x) => sum + x, 0) / columns;
    const covariance = mean(q.map((x, i) => x * w[i]!)) - mean(q) * mean(w);
    const slope = covariance / (mean(q.map((x) => x * x)) - mean(q) ** 2);
    expect(scales[row]!).toBeCloseTo(slope, 4);
    expect(offsets[row]!).toBeCloseTo(mean(w) - slope * mean(q), 4);
  }
});

test("a row whose integers are all the same keeps a finite fit", async () => {
  const { gram } = gramOf(mixedRows(2, 80, 8), 8);
  const { work, found, errors } = problem(2, 8, 8, gram);
  const flat = { ...found, codes: found.codes.map((code, i) => (i < 8 ? 3 : code)) };
  const best = await refit(work, flat);
  expect([...best.scales, ...best.offsets].every(Number.isFinite)).toBeTrue();
  expect(errors(best)[0]!).toBeLessThanOrEqual(errors(flat)[0]!);
});
