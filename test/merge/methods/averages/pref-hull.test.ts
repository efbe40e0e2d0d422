import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Gpu } from "../../../../src/gpu/gpu.ts";
import { method } from "../../../../src/merge/methods/averages/pref-hull.ts";
import { normalQuantile } from "../../../../src/merge/updates/normal-quantile.ts";
import { covers } from "../../../support/covers.ts";
import { sharedGpu } from "../../../support/gpu.ts";
import { normals } from "../../../support/random.ts";
import { writeCheckpoint } from "../../checkpoint-file.ts";
import { mergeOne } from "../../merge-arrays.ts";

covers("merge/pref-hull");

let gpu: Gpu;
const folder = mkdtempSync(join(tmpdir(), "pref-hull-"));
beforeAll(async () => {
  gpu = await sharedGpu();
});
afterAll(() => rmSync(folder, { recursive: true }));

const SHAPE = [7, 611];
const SIZE = 7 * 611;
const models = [1, 2, 3].map((seed) => normals(seed, SIZE));
const statistics = [4, 5, 6].map((seed) => normals(seed, SIZE).map((x) => x * x));
const stats = statistics.map((values, k) => {
  const file = join(folder, `${k}.safetensors`);
  writeCheckpoint(file, { w: { shape: SHAPE, values } });
  return file;
});

const PREF = [2, 1, 1];
const perModel = stats.map((file, k) => ({ pref: PREF[k]!, stats: file, rows: 10 * (k + 1) }));
const tensor = { shape: SHAPE, models };
const mean = (i: number) => models.reduce((sum, model, k) => sum + (PREF[k]! / 4) * model[i]!, 0);

test.each([
  ["fisher", (k: number, i: number) => 1 / Math.sqrt(10 * (k + 1) * statistics[k]![i]! + 1 / 0.3 ** 2)],
  ["sigma", (k: number, i: number) => statistics[k]![i]!],
] as const)("draws evenly from mu +- z sigma, with %s", async (stats_are, sigmaOf) => {
  const values = { sample: true, mass: 0.8, stats_are, prior: 0.3 };
  const found = await mergeOne(gpu, method, tensor, { values, perModel, seed: 4 });
  const places = found.map((value, i) => {
    const sigma = statistics.reduce((sum, _, k) => sum + (PREF[k]! / 4) * sigmaOf(k, i), 0);
    return (value - mean(i)) / (1.2815515655446004 * sigma);
  });
  expect(places.every((place) => Math.abs(place) < 1.001)).toBe(true);
  // Even in [-1, 1): mean 0, variance 1 / 3, each within four standard errors.
  const moment = (power: number) => places.reduce((sum, place) => sum + place ** power, 0) / SIZE;
  expect(Math.abs(moment(1))).toBeLessThan(4 / Math.sqrt(3 * SIZE));
  expect(Math.abs(moment(2) - 1 / 3)).toBeLessThan((4 * Math.sqrt(4 / 45)) / Math.sqrt(SIZE));
  const pieces = await mergeOne(gpu, method, tensor, { values, perModel, seed: 4, chunkValues: 2 * 611 });
  expect(pieces).toEqual(found);
  expect(await mergeOne(gpu, method, tensor, { values, perModel, seed: 5 })).not.toEqual(found);
});

test("without a draw it is the mean by preference; a single preference with no mass is that model", async () => {
  const found = await mergeOne(gpu, method, tensor, { perModel });
  for (const [i, value] of found.entries()) expect(Math.abs(value - mean(i))).toBeLessThan(1e-5);
  const values = { sample: true, mass: 0 };
  const only = perModel.map((one, k) => ({ ...one, pref: k === 1 ? 1 : 0 }));
  const second = await mergeOne(gpu, method, tensor, { values, perModel: only });
  for (const [i, value] of second.entries()) expect(Math.abs(value - models[1]![i]!)).toBeLessThan(1e-6);
});

test("is the mean where statistics lack the tensor, and says so; sample without statistics is refused", async () => {
  const remarks: string[] = [];
  const file = join(folder, "other.safetensors");
  writeCheckpoint(file, { other: { shape: [1], values: [1] } });
  const without = perModel.map((one) => ({ ...one, stats: file }));
  const remark = (what: string) => remarks.push(what);
  const found = await mergeOne(gpu, method, tensor, { values: { sample: true }, perModel: without, remark });
  expect(found).toEqual(await mergeOne(gpu, method, tensor, { perModel }));
  expect(remarks).toEqual(["the mean, since not every model has statistics of it"]);
  const bare = mergeOne(gpu, method, tensor, { values: { sample: true }, perModel: [{ pref: 1 }] });
  await expect(bare).rejects.toThrow("sample needs stats of every model");
});

test("quantiles of the normal distribution", () => {
  expect(normalQuantile(0.5)).toBeCloseTo(0, 12);
  expect(normalQuantile(0.9)).toBeCloseTo(1.2815515655446004, 12);
  expect(normalQuantile(0.025)).toBeCloseTo(-1.959963984540054, 12);
  expect(normalQuantile(0.9999)).toBeCloseTo(3.719016485455709, 10);
  expect(() => normalQuantile(1)).toThrow("no quantile of 1");
});
