import { expect, test } from "bun:test";
import { matrixValues } from "../../../../src/checkpoint/quantized/matrix.ts";
import { relativeError } from "../../../../src/compress/layer.ts";
import { method } from "../../../../src/compress/methods/quantizers/decoupleq.ts";
import type { Scheme } from "../../../../src/compress/quantizer.ts";
import { rounded } from "../../../support/floats.ts";
import { sharedGpu } from "../../../support/gpu.ts";
import { measuredLayer, mixedRows } from "../../../support/layer.ts";
import { normals } from "../../../support/random.ts";

const gpu = await sharedGpu();
const [ROWS, COLUMNS] = [16, 32];
const scheme = (given: Partial<Scheme> = {}): Scheme => ({
  ...{ bits: 2, group: Number.POSITIVE_INFINITY, symmetric: false, scales: "f32", keepZeros: false },
  ...given,
});
const VALUES = { damp: 0.01, block: 128, rounds: 4, relax_steps: 200, relax_lr: 0.05 };

/** E of a run on the layer of the seed. */
async function errorOf(seed: number, how: Scheme, values: Partial<typeof VALUES>, weight?: Float32Array) {
  const before = weight ?? normals(seed, ROWS * COLUMNS);
  using held = measuredLayer(gpu, before, ROWS, mixedRows(seed + 50, 256, COLUMNS));
  const { layer } = held;
  const found = await method.quantize(layer, how, { ...VALUES, ...values });
  return { found, error: await relativeError(layer, before, matrixValues(found)) };
}

test("the error never rises with the number of turns", async () => {
  const errors = [];
  for (const rounds of [0, 1, 2, 3]) errors.push((await errorOf(7, scheme({ group: 16 }), { rounds })).error);
  for (const [i, error] of errors.entries()) expect(error).toBeLessThanOrEqual((errors[i - 1] ?? Infinity) * 1.002);
  expect(errors[3]!).toBeLessThan(errors[0]!);
});

test("scales and offsets are what the type holds", async () => {
  const { found } = await errorOf(2, scheme({ group: 12, scales: "bf16" }), { rounds: 1 });
  expect(found.scales).toEqual(rounded(found.scales, "BF16"));
  expect(found.offsets).toEqual(rounded(found.offsets!, "BF16"));
  expect([found.scales.length, found.zeros]).toEqual([3 * ROWS, undefined]);
});

test("symmetric integers have no offsets, and weights that are 0 stay so", async () => {
  const weight = normals(5, ROWS * COLUMNS).map((w, i) => (i % 2 === 0 ? 0 : w));
  const { found } = await errorOf(5, scheme({ bits: 3, symmetric: true, keepZeros: true, group: 16 }), {}, weight);
  expect([found.offsets, found.zeros]).toEqual([undefined, undefined]);
  const values = matrixValues(found);
  expect(values.filter((v, i) => i % 2 === 0 && v !== 0).length).toBe(0);
  expect(values.filter((v) => v !== 0).length).toBeGreaterThan((ROWS * COLUMNS) / 4);
});

test("refuses what offsets cannot hold", () => {
  expect(() => method.check?.(scheme({ keepZeros: true }), VALUES)).toThrow("under which no code is 0");
  expect(() => method.check?.(scheme({ levels: new Float32Array(4) }), VALUES)).toThrow("not a table of levels");
});
