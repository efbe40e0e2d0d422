/** Arcee Fusion, its importances and its threshold, against loops in f64. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type Gpu, openGpu } from "../../../../src/gpu/gpu.ts";
import { method as fusion, outlierThreshold } from "../../../../src/merge/methods/pairs/arcee-fusion.ts";
import { covers } from "../../../support/covers.ts";
import { normals } from "../../../support/random.ts";
import { deltas, family, runMethod, SHAPES, type Trial, testShapes } from "../../run-method.ts";

covers("merge/arcee-fusion", "merge/row-importance");

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu();
});
afterAll(() => gpu?.close());

function softmax(row: Float32Array): Float64Array {
  const most = row.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const powers = Float64Array.from(row, (value) => Math.exp(value - most));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / sum + 1e-8);
}

/** As defined: in f64 the terms may cancel. */
function importances({ base, models, shape }: Trial): Float64Array {
  const columns = shape.at(-1)!;
  const [delta] = deltas(base!, models);
  const result = new Float64Array(delta!.length);
  for (let from = 0; from < delta!.length; from += columns) {
    const q = softmax(base!.subarray(from, from + columns));
    const p = softmax(models[0]!.subarray(from, from + columns));
    const divergence = p.reduce((sum, value, c) => sum + value * Math.log(value / q[c]!), 0);
    for (let c = 0; c < columns; c++) result[from + c] = Math.abs(delta![from + c]!) * divergence;
  }
  return result;
}

function threshold(importance: Float64Array): number {
  const sorted = importance.slice().sort();
  const [lower, median, upper] = [0.25, 0.5, 0.75].map((q) => sorted[Math.floor(q * (sorted.length - 1))]!);
  return median! + 1.5 * (upper! - lower!);
}

/** The kernel's importances of one matrix. */
async function found({ base, models, shape }: Trial): Promise<Float32Array> {
  const columns = shape.at(-1)!;
  const rows = base!.length / columns;
  const pitch = Math.ceil(base!.length / 64) * 16;
  const stack = new Float32Array(8 * pitch);
  stack.set(base!);
  stack.set(models[0]!, 4 * pitch);
  using inputs = gpu.upload(stack, "inputs");
  using importance = gpu.buffer(16 * pitch, "importance");
  gpu.run(await gpu.kernel("merge/row-importance"), {
    bind: { stack: inputs.buffer, importance: importance.buffer },
    params: { pitch, columns, rows },
    groups: [rows],
  });
  return gpu.readFloats(importance.buffer, base!.length);
}

const pair = (shape: readonly number[], scale: number, seed: number, spread = 0.5): Trial => {
  const size = shape.reduce((a, b) => a * b, 1);
  const base = normals(seed, size, spread);
  const change = normals(seed + 1, size, scale);
  return { shape, base, models: [base.map((value, i) => value + change[i]!)] };
};

describe("importances", () => {
  for (const scale of [1e-4, 1e-2, 0.1, 1, 10]) {
    test(`are exact to 1e-4 for changes of ${scale}`, async () => {
      for (const shape of [[5, 7], [33, 129], [3, 2000], [255]]) {
        const trial = pair(shape, scale, 31);
        const wanted = importances(trial);
        for (const [i, value] of (await found(trial)).entries()) {
          expect(value).toBeGreaterThanOrEqual(0);
          // Below 1e-10 the loop itself cancels.
          expect(Math.abs(value - wanted[i]!)).toBeLessThan(1e-4 * wanted[i]! + 1e-15);
        }
      }
    });
  }

  test("are finite where softmaxes saturate, and 0 where nothing changed or a row is shifted as a whole", async () => {
    const far = pair([4, 64], 300, 5, 200);
    expect((await found(far)).every((value) => Number.isFinite(value) && value >= 0)).toBe(true);
    const same = pair([4, 64], 0, 5);
    expect(await found(same)).toEqual(new Float32Array(256));
    const base = family(256, 0, 2).base;
    const shifted: Trial = { shape: [4, 64], base, models: [base.map((value) => value + 2)] };
    for (const value of await found(shifted)) expect(value).toBeLessThan(1e-9);
  });
});

describe("the threshold", () => {
  test("is the median and 1.5 interquartile ranges", () => {
    expect(outlierThreshold(1, 2, 5)).toBe(8);
  });

  test("selects what a sort does, for few values and many", async () => {
    for (const [s, shape] of [...SHAPES, [2], [4], [2, 2], [70, 129], [9001]].entries()) {
      const trial = pair(shape, 0.05, 50 + s);
      const importance = importances(trial);
      const least = threshold(importance);
      const result = await runMethod(gpu, fusion, { ...trial, chunkValues: Math.max(64, 20 * shape.at(-1)!) });
      for (const [i, value] of result.entries()) {
        if (Math.abs(importance[i]! - least) < 2e-4 * least) continue; // either side is right
        expect(value).toBe(importance[i]! >= least ? trial.models[0]![i]! : trial.base![i]!);
      }
    }
  });
});

describe("laws", () => {
  test("every value is the base's or the model's, and some are of each", async () => {
    const trial = pair([60, 100], 0.02, 3);
    const result = await runMethod(gpu, fusion, trial);
    const taken = result.filter((value, i) => value === trial.models[0]![i]).length;
    expect(result.every((value, i) => value === trial.base![i] || value === trial.models[0]![i])).toBe(true);
    expect(taken).toBeGreaterThan(100);
    expect(taken).toBeLessThan(2000);
  });

  test("equal inputs return themselves", async () => {
    const { base } = family(300, 1, 8);
    expect(await runMethod(gpu, fusion, { shape: [300], base, models: [base] })).toEqual(base);
  });

  testShapes(() => gpu, fusion, { models: 1 });
});
