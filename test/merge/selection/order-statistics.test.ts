import { afterAll, beforeAll, expect, test } from "bun:test";
import { type Gpu, openGpu } from "../../../src/gpu/gpu.ts";
import { TensorInputs } from "../../../src/merge/job/tensor-inputs.ts";
import {
  magnitudeDigits,
  orderStatistics,
  rowSizes,
  valueOfKey,
} from "../../../src/merge/selection/order-statistics.ts";
import { normal, randomArray } from "../../experiments/support.ts";
import { covers } from "../../support/covers.ts";
import { entryOf } from "../../support/entry.ts";

covers("order-statistics/histogram");

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu();
});
afterAll(() => gpu.close());

const settings = { seed: 0, compatRounding: false, compatBugs: false, chunkValues: 300 };

function inputsOf(name: string, size: number, models: readonly ArrayLike<number>[], base: ArrayLike<number>) {
  const entry = (values: ArrayLike<number>) => entryOf(name, "F32", [size], Float32Array.from(values));
  const task = {
    name,
    shape: [size],
    outDtype: "F32" as const,
    workDtype: "F32" as const,
    base: entry(base),
    models: models.map((model) => entry(model)),
    modelIndex: models.map((_, k) => k),
  };
  return new TensorInputs({ gpu, task, values: {}, settings, passes: "one" });
}

test("keys give their values back", () => {
  expect([0x80000000, 0xbf800000, 0x407fffff, 0x7fffffff].map(valueOfKey)).toEqual([0, 1, -1, -0]);
});

test("finds ranks of magnitudes over several tensors as a sort does", async () => {
  const sizes = [1, 255, 1021, 4099];
  const data = sizes.map((size, i) => {
    const next = normal(i);
    // Coarse values, so that many are equal, and both tiny and large ones.
    const coarse = (x: number) => Math.fround(Math.round(x * 8) * 10 ** (Math.round(4 * next()) - 2));
    const zero = new Float64Array(size);
    return { size, zero, rows: [randomArray(size, next).map(coarse), randomArray(size, next).map(Math.fround)] };
  });
  const tensors = data.map(({ size, zero, rows }, i) => inputsOf(`t${i}`, size, rows, zero));
  expect([...rowSizes(tensors)]).toEqual([
    [0, 5376],
    [1, 5376],
  ]);
  const sorted = [0, 1].map((row) => data.flatMap(({ rows }) => [...rows[row]!].map(Math.abs)).sort((a, b) => a - b));
  const wanted = [0, 1, 17, 2688, 5000, 5374, 5375].flatMap((rank) => [0, 1].map((row) => ({ row, rank })));
  const found = await orderStatistics(wanted, magnitudeDigits(tensors));
  for (const [i, { row, rank }] of wanted.entries()) expect(found[i]).toBe(sorted[row]![rank]!);
  for (const one of tensors) await one.close();
});
