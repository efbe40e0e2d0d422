import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { matrixValues } from "../../src/checkpoint/quantized/matrix.ts";
import { method as rtn } from "../../src/compress/methods/quantizers/rtn.ts";
import { GroupGrids, sortedLevels } from "../../src/compress/nearest-codes.ts";
import type { Scheme } from "../../src/compress/quantizer.ts";
import { readIndex } from "../golden/formats/index-file.ts";
import { readTensors } from "../golden/formats/tensors.ts";
import { covers } from "../support/covers.ts";
import { expectWithin, rounded } from "../support/floats.ts";
import { sharedGpu } from "../support/gpu.ts";
import { layerOf } from "../support/layer.ts";
import { normals } from "../support/random.ts";
import { codeOf, type Fit, fitGroup } from "../support/rounding.ts";

covers("compress/fit-grid", "compress/nearest-codes");

const gpu = await sharedGpu();

const scheme = (given: Partial<Scheme> = {}): Scheme => ({
  ...{ bits: 4, group: Number.POSITIVE_INFINITY, symmetric: false, scales: "f32", keepZeros: false },
  ...given,
});

/** Normal values, with a row of zeros, one that is below zero everywhere, and an outlier. */
function matrix(rows: number, columns: number, seed = 1): Float32Array {
  const values = normals(seed, rows * columns);
  if (rows > 1) values.fill(0, columns, 2 * columns);
  if (rows > 2) for (let k = 2 * columns; k < 3 * columns; k++) values[k] = -0.5 - Math.abs(values[k]!);
  if (rows > 3) values[3 * columns] = 40;
  return values;
}

/** Codes from the zero point on and values of a matrix by the definition, and how near each code was to another. */
function reference(weight: Float32Array, [rows, columns]: [number, number], group: number, fit: Fit) {
  const top = 2 ** fit.bits - 1;
  const size = Math.min(group, columns);
  const found = { codes: [] as number[], values: [] as number[], tie: [] as boolean[], step: [] as number[] };
  for (let row = 0; row < rows; row++) {
    for (let k = 0; k < columns; k++) {
      const first = row * columns + Math.floor(k / size) * size;
      const last = row * columns + Math.min(columns, (Math.floor(k / size) + 1) * size);
      const [scale, zero] = fitGroup([...weight.subarray(first, last)], fit);
      const w = weight[row * columns + k]!;
      const code = codeOf(w, scale, zero, top);
      const place = scale === 0 ? 0 : w / scale;
      found.codes.push(code - zero);
      found.values.push(scale * (code - zero));
      found.tie.push(Math.abs(Math.abs(place - Math.floor(place)) - 0.5) < 1e-4);
      found.step.push(scale);
    }
  }
  return found;
}

describe.each([
  [1, 1, 1],
  [5, 67, 32],
  [4, 33, Number.POSITIVE_INFINITY],
  [130, 7, 4],
] as const)("%i x %i in groups of %p", (rows, columns, group) => {
  test.each([
    { bits: 4 },
    { bits: 2, symmetric: true },
    { bits: 8, symmetric: true, absmax: true },
    { bits: 3, mse: true },
    { bits: 4, mse: true, symmetric: true },
  ] satisfies Fit[])("%p", async (fit: Fit) => {
    const weight = matrix(rows, columns);
    const { bits, symmetric = false, mse = false, absmax = false } = fit;
    using layer = layerOf(gpu, weight, rows);
    const found = await rtn.quantize(layer.layer, scheme({ bits, symmetric, group }), { mse, absmax });
    const expected = reference(weight, [rows, columns], group, fit);
    const values = matrixValues(found);
    expectWithin(values, expected.values, (i) => (expected.tie[i] ? 1.01 : 1e-5 * 2 ** bits) * expected.step[i]!);
    const cell = (i: number) =>
      Math.floor(i / columns) * Math.ceil(columns / found.group) + Math.floor((i % columns) / found.group);
    const steps = Array.from(found.codes, (code, i) => code - (found.zeros?.[cell(i)] ?? 2 ** (bits - 1)));
    const off = expected.codes.filter((code, i) => !expected.tie[i] && code !== steps[i]!);
    expect(off).toEqual([]);
    expect(found.zeros === undefined).toBe(symmetric);
    // Zeros stay: the zero point is a code.
    for (const [i, w] of weight.entries()) if (w === 0) expect(values[i]).toBe(0);
  });
});

test.each(["f16", "bf16"] as const)("scales in %s are rounded before codes are chosen", async (scales) => {
  const weight = matrix(6, 50);
  using layer = layerOf(gpu, weight, 6);
  const found = await rtn.quantize(layer.layer, scheme({ group: 16, scales }), { mse: false, absmax: false });
  expect([...found.scales]).toEqual([...rounded(found.scales, scales === "f16" ? "F16" : "BF16")]);
  const values = matrixValues(found);
  const worst = weight.map(
    (w, i) => Math.abs(w - values[i]!) / found.scales[Math.floor(i / 50) * 4 + ((i % 50) >> 4)]!,
  );
  // Half a step, and what the rounded scale takes from the ends of the range.
  expect(Math.max(...worst)).toBeLessThan(scales === "f16" ? 0.51 : 0.6);
});

test("codes of a table of levels are the nearest, of two equally near the even one", async () => {
  const levels = Float32Array.of(0, 1, 3, Number.NaN, -0, -1, -3, -8);
  expect(sortedLevels(levels)).toEqual({
    levels: Float32Array.of(-8, -3, -1, 0, 1, 3),
    names: Uint32Array.of(7, 6, 5, 0, 1, 2),
  });
  const weight = Float32Array.of(8, 0.4, -0.6, 2, -2, -20, 0.5, -5.5, 3.1, -0.5, 1.9);
  const given = scheme({ bits: 3, levels });
  using layer = layerOf(gpu, weight, 1);
  using grids = new GroupGrids(layer.layer, given);
  await grids.fit(layer.layer);
  const { scales } = await grids.codes(layer.layer);
  expect(scales).toEqual(Float32Array.of(20 / 8));
  gpu.write(grids.scales.buffer, 0, new Uint8Array(Float32Array.of(1).buffer));
  const found = await grids.codes(layer.layer);
  expect([...found.codes]).toEqual([2, 0, 5, 2, 6, 7, 0, 6, 2, 0, 1]);
  expect(found.zeros).toBeUndefined();
});

test("refuses what a grid lacks", () => {
  const nf4 = scheme({ levels: new Float32Array(16) });
  expect(() => rtn.check?.(nf4, { mse: true, absmax: false })).toThrow("--mse searches the range of integers");
  expect(() => rtn.check?.(scheme(), { mse: false, absmax: true })).toThrow("--absmax is of symmetric integers");
});

interface GoldenCase {
  readonly kind: "absmax" | "zero-point";
  readonly bits: number;
  readonly group: number;
  readonly codes?: string;
  readonly scale: string;
  readonly zero?: string;
  readonly result: string;
}

const FOLDER = join(import.meta.dir, "../golden/compress/rtn");
const GOLDENS = readIndex<{ file: string; cases: GoldenCase[] }[]>(join(FOLDER, "cases.json"));

test.each(GOLDENS.map(({ file, cases }) => [file, cases] as const))("golden %s", async (file, cases) => {
  const tensors = await readTensors(join(FOLDER, `${file}.safetensors`));
  const weight = Float32Array.from(tensors.get("weight")!.data);
  const rows = tensors.get("weight")!.shape[0]!;
  const columns = weight.length / rows;
  for (const { kind, bits, group, codes, scale, zero, result } of cases) {
    using layer = layerOf(gpu, weight, rows);
    const absmax = kind === "absmax";
    const size = group === -1 ? columns : group;
    const found = await rtn.quantize(layer.layer, scheme({ bits, group: size, symmetric: absmax }), {
      mse: false,
      absmax,
    });
    const of = (name: string) => tensors.get(name)!.data;
    expectWithin(found.scales, of(scale), (i) => 1e-6 * of(scale)[i]!, `${file} ${scale}`);
    if (zero) expect([zero, ...found.zeros!]).toEqual([zero, ...[...of(zero)].map(Math.abs)]);
    const cell = (i: number) => Math.floor(i / columns) * Math.ceil(columns / size) + Math.floor((i % columns) / size);
    const isTie = (i: number) => {
      const place = weight[i]! / of(scale)[cell(i)]!;
      return Math.abs(place - Math.floor(place) - 0.5) < 1e-5;
    };
    const most = (i: number) => of(scale)[cell(i)]! * 2 ** bits;
    expectWithin(matrixValues(found), of(result), (i) => (isTie(i) ? of(scale)[cell(i)]! : 0) + 1e-6 * most(i), result);
    if (codes) {
      const off = [...of(codes)].filter((code, i) => !isTie(i) && found.codes[i]! - 2 ** (bits - 1) !== code);
      expect([codes, off]).toEqual([codes, []]);
    }
  }
});
