import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { matrixValues } from "../../../../src/checkpoint/quantized/matrix.ts";
import { relativeError } from "../../../../src/compress/layer.ts";
import { method as gptq } from "../../../../src/compress/methods/quantizers/gptq.ts";
import { method as rtn } from "../../../../src/compress/methods/quantizers/rtn.ts";
import type { Scheme } from "../../../../src/compress/quantizer.ts";
import { readIndex } from "../../../golden/formats/index-file.ts";
import { largest, readTensors } from "../../../golden/formats/tensors.ts";
import { sharedGpu } from "../../../support/gpu.ts";
import { layerReading, measuredLayer, mixedRows } from "../../../support/layer.ts";
import { normals } from "../../../support/random.ts";

const gpu = await sharedGpu();
const PLAIN = { damp: 0.01, block: 128, act_order: false, static_groups: false, mse: false };
const scheme = (given: Partial<Scheme> = {}): Scheme => ({
  ...{ bits: 4, group: Number.POSITIVE_INFINITY, symmetric: false, scales: "f32", keepZeros: false },
  ...given,
});

interface GoldenCase {
  readonly bits: number;
  readonly group: number;
  readonly act_order: boolean;
  readonly static_groups: boolean;
  readonly symmetric: boolean;
  readonly mse: boolean;
  readonly block: number;
  readonly damp: number;
  readonly result: string;
  readonly relative_output_error: number;
}

const FOLDER = join(import.meta.dir, "../../../golden/compress/gptq");
const GOLDENS = readIndex<{ file: string; cases: GoldenCase[] }[]>(join(FOLDER, "cases.json"));

describe.each(GOLDENS.map(({ file, cases }) => [file, cases] as const))("golden %s", (file, cases) => {
  test.each(cases)("$result: $bits bits, groups of $group, act-order $act_order", async (one) => {
    const tensors = await readTensors(join(FOLDER, `${file}.safetensors`));
    const of = (name: string) => Float32Array.from(tensors.get(name)!.data);
    const weight = of("weight");
    const [rows, columns] = tensors.get("weight")!.shape as [number, number];
    const { bits, symmetric, mse, block, damp, act_order, static_groups, result } = one;
    using held = layerReading(gpu, weight, rows, { gram: of("hessian"), magnitudes: new Float32Array(columns) });
    const group = one.group === -1 ? columns : one.group;
    const values = { mse, block, damp, act_order, static_groups };
    const found = matrixValues(await gptq.quantize(held.layer, scheme({ bits, symmetric, group }), values));
    const expected = of(result);
    const most = largest(weight);
    const near = found.filter((x, i) => Math.abs(x - expected[i]!) <= 1e-4 * most).length;
    expect(near / found.length).toBeGreaterThanOrEqual(0.95);
    const error = await relativeError(held.layer, weight, found);
    expect(Math.abs(error / one.relative_output_error - 1)).toBeLessThan(0.05);
  });
});

/** The sanity layer of the seed: weights (16, 32) and rows of mixed inputs. */
const layerOfSeed = (seed: number) => measuredLayer(gpu, normals(seed, 16 * 32), 16, mixedRows(seed + 50, 256, 32));

test("groups in another order say which columns are theirs, and the last may be short", async () => {
  using held = layerOfSeed(1);
  const { layer } = held;
  const found = await gptq.quantize(layer, scheme({ group: 12 }), { ...PLAIN, act_order: true });
  const sizes = [0, 1, 2].map((g) => found.groupOf!.filter((of) => of === g).length);
  expect([sizes, found.scales.length]).toEqual([[12, 12, 8], 3 * 16]);
  const gram = await gpu.readFloats(layer.inputs.gram.buffer, 32 * 32);
  const mean = (g: number) =>
    found.groupOf!.reduce((sum, of, j) => sum + (of === g ? gram[j * 33]! : 0), 0) / sizes[g]!;
  expect(mean(0)).toBeGreaterThan(mean(1));
  expect(mean(1)).toBeGreaterThan(mean(2));
  const fixed = await gptq.quantize(layer, scheme({ group: 12 }), { ...PLAIN, act_order: true, static_groups: true });
  expect(fixed.groupOf).toBeUndefined();
});

test("weights that are 0 stay 0, and inputs that are always 0 lose theirs", async () => {
  const weight = normals(5, 16 * 32).map((w, i) => (i % 3 === 0 ? 0 : w));
  const x = mixedRows(6, 256, 32).map((v, i) => (i % 32 === 7 ? 0 : v));
  using held = measuredLayer(gpu, weight, 16, x);
  const values = matrixValues(await gptq.quantize(held.layer, scheme({ keepZeros: true, group: 8 }), PLAIN));
  const kept = values.filter((_, i) => i % 3 === 0);
  expect([...new Set(kept.map(Math.abs))]).toEqual([0]);
  for (let row = 0; row < 16; row++) expect(Math.abs(values[row * 32 + 7]!)).toBe(0);
  expect(values.filter((v) => v === 0).length).toBeLessThan(16 * 32 * 0.6);
});

test("a table of levels takes the nearest of them, with errors passed on", async () => {
  using held = layerOfSeed(2);
  const { layer } = held;
  const weight = await gpu.readFloats(layer.weight.buffer, 16 * 32);
  const levels = Float32Array.of(0, 0.5, 1, 1.5, 2, 3, 4, 6, -0, -0.5, -1, -1.5, -2, -3, -4, -6);
  const how = scheme({ levels, group: 16, scales: "bf16" });
  const found = await gptq.quantize(layer, how, PLAIN);
  const rounded = await rtn.quantize(layer, how, { mse: false, absmax: false });
  expect(found.zeros).toBeUndefined();
  const [swept, nearest] = await Promise.all(
    [found, rounded].map((one) => relativeError(layer, weight, matrixValues(one))),
  );
  expect(swept!).toBeLessThan(0.8 * nearest!);
});

test("refuses a search of the range of levels", () => {
  expect(() => gptq.check?.(scheme({ levels: new Float32Array(16) }), { ...PLAIN, mse: true })).toThrow(
    "--mse searches",
  );
});
