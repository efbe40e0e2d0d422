import { expect, test } from "bun:test";
import { method } from "../../../../src/merge/methods/layers/norm-realign.ts";
import { sharedGpu } from "../../../support/gpu.ts";
import { normals } from "../../../support/random.ts";
import { mergeArrays, mergeOne } from "../../merge-arrays.ts";

const gpu = await sharedGpu();
const name = "lm_head.weight";
const head = (seed: number) => normals(seed, 7 * 33);
const lengths = (values: Float32Array) =>
  Array.from({ length: 7 }, (_, row) => Math.hypot(...values.subarray(33 * row, 33 * row + 33)));

test("every row has the length that is given, and its direction", async () => {
  const own = head(1);
  const tensor = { name, shape: [7, 33], models: [own] };
  const found = await mergeOne(gpu, method, tensor, { values: { row_length: 1.7 } });
  for (const length of lengths(found)) expect(length).toBeCloseTo(1.7, 5);
  for (const [i, length] of lengths(own).entries()) expect(found[33 * i]! / own[33 * i]!).toBeCloseTo(1.7 / length, 5);
  expect(await mergeOne(gpu, method, tensor, { values: { row_length: 1.7 }, chunkValues: 66 })).toEqual(found);
});

test("the mean length of all rows when none is given", async () => {
  const own = head(5).map((value, i) => (i < 33 ? 4 * value : value));
  const found = await mergeOne(gpu, method, { name, shape: [7, 33], models: [own] });
  const mean = lengths(own).reduce((a, b) => a + b, 0) / 7;
  for (const length of lengths(found)) expect(length).toBeCloseTo(mean, 4);
});

test("or that of a second model's row; to its own lengths a head stays as it is", async () => {
  const [own, other] = [head(1), head(2)];
  const found = await mergeOne(gpu, method, { name, shape: [7, 33], models: [own, other] });
  for (const [i, length] of lengths(found).entries()) expect(length).toBeCloseTo(lengths(other)[i]!, 5);
  const same = await mergeOne(gpu, method, { name, shape: [7, 33], models: [own, own] });
  for (const [i, value] of same.entries()) expect(value).toBeCloseTo(own[i]!, 6);
});

test("all other tensors are the first model's", async () => {
  const tensors = [
    { name, shape: [7, 33], models: [head(1), head(2)] },
    { name: "lm_head.bias", shape: [7], models: [normals(3, 7), normals(4, 7)] },
  ];
  const { values } = await mergeArrays(gpu, method, tensors);
  expect(values.get("lm_head.bias")).toEqual(normals(3, 7));
});

test("refuses a head that is not there, that is no matrix, or that has a row of zeros", async () => {
  const run = (tensor: object) => mergeOne(gpu, method, { name, shape: [7, 33], models: [head(1)], ...tensor });
  await expect(run({ name: "score.weight" })).rejects.toThrow("The model has no tensor lm_head.weight");
  await expect(run({ shape: [231] })).rejects.toThrow("lm_head.weight is (231)");
  await expect(run({ models: [head(1).fill(0, 33, 66)] })).rejects.toThrow("has a row of zeros");
});
