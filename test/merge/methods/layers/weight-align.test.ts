import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type Gpu, openGpu } from "../../../../src/gpu/gpu.ts";
import { alignFactor, method } from "../../../../src/merge/methods/layers/weight-align.ts";
import { normal, randomArray } from "../../../experiments/support.ts";
import { mergeArrays, mergeOne } from "../../merge-arrays.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu();
});
afterAll(() => gpu.close());

const name = "lm_head.weight";
const length = (head: ArrayLike<number>, row: number, columns: number) =>
  Math.hypot(...Array.from(head).slice(row * columns, (row + 1) * columns));
const mean = (list: readonly number[]) => list.reduce((a, b) => a + b, 0) / list.length;
const rows = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);

describe("weight_align", () => {
  test("new rows get the mean length of the old ones, old rows keep their bits", async () => {
    for (const [count, columns, old] of [
      [2, 1, 1],
      [7, 3, 5],
      [31, 257, 30],
      [9, 64, 2],
    ] as const) {
      const head = Float32Array.from(randomArray(count * columns, normal(count)), (x, i) =>
        i < old * columns ? x : 3 * x,
      );
      const tensor = { name, shape: [count, columns], models: [head] };
      const found = await mergeOne(gpu, method, tensor, { values: { old } });
      expect(found.subarray(0, old * columns)).toEqual(head.subarray(0, old * columns));
      const before = mean(rows(0, old).map((row) => length(head, row, columns)));
      expect(mean(rows(old, count).map((row) => length(found, row, columns)))).toBeCloseTo(before, 4);
      const chunked = await mergeOne(gpu, method, tensor, { values: { old }, chunkValues: 2 * columns });
      expect(chunked).toEqual(found);
    }
  });

  test("the factor is 1 when lengths agree already, so aligning twice is aligning once", async () => {
    expect(alignFactor([1, 4, 9, 4], 3)).toBe(1);
    expect(alignFactor([4, 1], 1)).toBe(2);
    const head = Float32Array.from(randomArray(60, normal(3)));
    const once = await mergeOne(gpu, method, { name, shape: [6, 10], models: [head] }, { values: { old: 4 } });
    const twice = await mergeOne(gpu, method, { name, shape: [6, 10], models: [once] }, { values: { old: 4 } });
    for (const [i, value] of twice.entries()) expect(value).toBeCloseTo(once[i]!, 5);
  });

  test("the order of scores among the new classes stays", async () => {
    const head = Float32Array.from(randomArray(80, normal(5)));
    const found = await mergeOne(gpu, method, { name, shape: [8, 10], models: [head] }, { values: { old: 3 } });
    const x = randomArray(10, normal(6));
    const order = (w: Float32Array) =>
      rows(3, 8).sort((a, b) => {
        const score = (row: number) => x.reduce((sum, value, c) => sum + value * w[row * 10 + c]!, 0);
        return score(a) - score(b);
      });
    expect(order(found)).toEqual(order(head));
  });

  test("all other tensors are copied", async () => {
    const head = Float32Array.from(randomArray(60, normal(3)));
    const other = Float32Array.from(randomArray(60, normal(4)));
    const tensors = [
      { name, shape: [6, 10], models: [head] },
      { name: "model.layers.0.mlp.up_proj.weight", shape: [6, 10], models: [other] },
    ];
    const { values } = await mergeArrays(gpu, method, tensors, { values: { old: 4 } });
    expect(values.get("model.layers.0.mlp.up_proj.weight")).toEqual(other);
  });

  test("refuses a head that is not there, that has no new rows, or whose new rows are zero", async () => {
    const head = new Float32Array(60).fill(1).fill(0, 40);
    const run = (options: Record<string, unknown>) =>
      mergeOne(gpu, method, { name, shape: [6, 10], models: [head] }, { values: options });
    await expect(run({ old: 4, head: "classifier.weight" })).rejects.toThrow(
      "The model has no tensor classifier.weight",
    );
    await expect(run({ old: 6 })).rejects.toThrow(
      "lm_head.weight has 6 rows; expected more rows than the 6 old classes",
    );
    await expect(run({ old: 4 })).rejects.toThrow("lm_head.weight: the rows from 4 on are all zero");
  });
});
