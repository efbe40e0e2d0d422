import { expect, test } from "bun:test";
import { relaxed } from "../../src/compress/boxed-weights.ts";
import type { Weighed } from "../../src/compress/refit.ts";
import { covers } from "../support/covers.ts";
import { expectWithin } from "../support/floats.ts";
import { sharedGpu } from "../support/gpu.ts";
import { gramOf, mixedRows } from "../support/layer.ts";
import { normals } from "../support/random.ts";

covers("compress/box-adam");

const gpu = await sharedGpu();
const [ROWS, COLUMNS, GROUP, GROUPS] = [5, 19, 8, 3];
const WEIGHT = normals(1, ROWS * COLUMNS);
const { gram: GRAM } = gramOf(mixedRows(2, 60, COLUMNS), COLUMNS);
/** Of 2 bits; of the first row negative, so that its ends change places. */
const SCALES = Float32Array.from({ length: ROWS * GROUPS }, (_, cell) => (cell < GROUPS ? -0.5 : 0.5));
const OFFSETS = SCALES.map((scale) => -1.5 * scale);

const cellOf = (i: number) => Math.floor(i / COLUMNS) * GROUPS + Math.floor((i % COLUMNS) / GROUP);
const boxed = (x: number, i: number) => {
  const ends = [OFFSETS[cellOf(i)]!, OFFSETS[cellOf(i)]! + 3 * SCALES[cellOf(i)]!];
  return Math.min(Math.max(...ends), Math.max(Math.min(...ends), x));
};

/** Half of the gradient of (w - v) H (w - v)^T, and that itself. */
function gradientOf(values: ArrayLike<number>): { gradient: Float64Array; error: number } {
  const d = Float64Array.from(WEIGHT, (w, i) => values[i]! - w);
  const gradient = new Float64Array(d.length);
  for (let row = 0; row < ROWS; row++)
    for (let i = 0; i < COLUMNS; i++)
      for (let j = 0; j < COLUMNS; j++) gradient[row * COLUMNS + j]! += d[row * COLUMNS + i]! * GRAM[i * COLUMNS + j]!;
  return { gradient, error: d.reduce((sum, x, i) => sum + x * gradient[i]!, 0) };
}

async function run(steps: number): Promise<Float32Array> {
  using weight = gpu.upload(WEIGHT, "weight");
  using gram = gpu.upload(Float32Array.from(GRAM), "gram");
  const work: Weighed = {
    ...{ gpu, weight, rows: ROWS, columns: COLUMNS, group: GROUP },
    gram: { buffer: gram.buffer, rows: COLUMNS, columns: COLUMNS },
  };
  using found = await relaxed(work, { scales: SCALES, offsets: OFFSETS }, { steps, rate: 0.05, top: 3 });
  return gpu.readFloats(found.buffer, ROWS * COLUMNS);
}

test("steps are those of Adam in f64, kept between the ends", async () => {
  let values = Float64Array.from(WEIGHT, boxed);
  const [mean, square] = [new Float64Array(values.length), new Float64Array(values.length)];
  for (let step = 1; step <= 12; step++) {
    const { gradient } = gradientOf(values);
    values = values.map((x, i) => {
      mean[i] = 0.9 * mean[i]! + 0.1 * gradient[i]!;
      square[i] = 0.999 * square[i]! + 0.001 * gradient[i]! ** 2;
      const size = Math.sqrt(square[i]! / (1 - 0.999 ** step));
      return boxed(x - (0.05 * mean[i]!) / (1 - 0.9 ** step) / (size + 1e-12), i);
    });
  }
  expectWithin(await run(12), values, () => 1e-3);
});

test("others make up for what lies beyond the ends", async () => {
  const [clipped, found] = [gradientOf(WEIGHT.map(boxed)).error, gradientOf(await run(200)).error];
  expect(found).toBeLessThan(0.6 * clipped);
  expect((await run(200)).every((x, i) => Math.abs(x - boxed(x, i)) < 1e-6)).toBeTrue();
});
