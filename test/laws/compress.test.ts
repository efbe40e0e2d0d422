/** What holds for every pruner and every quantizer of a layer, whatever the weights. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { groupsOf, matrixValues } from "../../src/checkpoint/quantized/matrix.ts";
import { type MeasuredLayer, readWeights, relativeError } from "../../src/compress/layer.ts";
import type { Pruner, Sparsity } from "../../src/compress/pruner.ts";
import type { Quantizer, Scheme } from "../../src/compress/quantizer.ts";
import { UserError } from "../../src/errors.ts";
import { type Bound, bindDefaults } from "../../src/method/bind.ts";
import { loadMethods } from "../../src/method/registry.ts";
import { sharedGpu } from "../support/gpu.ts";
import { measuredLayer, mixedRows } from "../support/layer.ts";
import { normals } from "../support/random.ts";

setDefaultTimeout(120_000);
const gpu = await sharedGpu();
const [ROWS, COLUMNS] = [6, 40];
const WEIGHT = normals(5, ROWS * COLUMNS);
const X = mixedRows(6, 96, COLUMNS);

/** Work on a layer of its own; undefined where the method refuses what is asked. */
async function onLayer<T>(check: () => void, work: (layer: MeasuredLayer) => Promise<T>): Promise<T | undefined> {
  try {
    check();
  } catch (error) {
    if (error instanceof UserError) return undefined;
    throw error;
  }
  using held = measuredLayer(gpu, WEIGHT.slice(), ROWS, X);
  return await work(held.layer);
}

const pruned = ({ method, values }: Bound<Pruner>, target: Sparsity) =>
  onLayer(
    () => method.check?.(target, values),
    async (layer) => {
      await method.prune(layer, target, values);
      return { values: await readWeights(layer), error: await relativeError(layer, WEIGHT, await readWeights(layer)) };
    },
  );

const zeros = (values: Float32Array): number => values.filter((x) => x === 0).length;

describe.each((await loadMethods("pruner")).map((method) => [method.name, bindDefaults(method)] as const))(
  "%s",
  (_, bound) => {
    test("a share of the weights goes, and no more than half a weight of each row beside it", async () => {
      for (const share of [0.25, 0.5, 0.75]) {
        const found = await pruned(bound, { share });
        if (!found) continue;
        expect(Math.abs(zeros(found.values) - share * WEIGHT.length)).toBeLessThanOrEqual(ROWS);
        expect(found.values.every(Number.isFinite)).toBeTrue();
      }
    });

    test("every group keeps as many as its pattern says", async () => {
      if (bound.method.dense !== undefined) return expect(bound.method.dense.length).toBeGreaterThan(10);
      for (const { keep, of } of [
        { keep: 2, of: 4 },
        { keep: 1, of: 4 },
        { keep: 4, of: 8 },
      ]) {
        const found = await pruned(bound, { keep, of });
        if (!found) continue;
        for (let i = 0; i < WEIGHT.length; i += of) expect(zeros(found.values.slice(i, i + of))).toBe(of - keep);
      }
    });

    test("more that goes costs more, and the same run gives the same bytes", async () => {
      const [few, many, again] = [
        await pruned(bound, { share: 0.25 }),
        await pruned(bound, { share: 0.75 }),
        await pruned(bound, { share: 0.75 }),
      ];
      if (few && many) expect(few.error).toBeLessThan(many.error);
      expect(again?.values).toEqual(many?.values);
    });
  },
);

const scheme = (given: Partial<Scheme> = {}): Scheme => ({
  ...{ bits: 4, group: 16, symmetric: false, scales: "f16", keepZeros: false },
  ...given,
});

const quantized = ({ method, values }: Bound<Quantizer>, asked: Scheme) =>
  onLayer(
    () => method.check?.(asked, values),
    async (layer) => {
      const matrix = await method.quantize(layer, asked, values);
      return { matrix, error: await relativeError(layer, WEIGHT, matrixValues(matrix)) };
    },
  );

const ASKED: readonly Partial<Scheme>[] = [
  {},
  { bits: 3, symmetric: true },
  { bits: 8, group: Number.POSITIVE_INFINITY },
  { bits: 2, group: 12, scales: "bf16" },
];

describe.each((await loadMethods("quantizer")).map((method) => [method.name, bindDefaults(method)] as const))(
  "%s",
  (_, bound) => {
    test.each(ASKED)("codes and scales are of the numbers that are asked for: %p", async (given) => {
      const asked = scheme(given);
      const found = await quantized(bound, asked);
      if (!found) return;
      const { matrix } = found;
      expect([matrix.rows, matrix.columns, matrix.bits]).toEqual([ROWS, COLUMNS, asked.bits]);
      expect(Math.max(...matrix.codes)).toBeLessThan(2 ** asked.bits);
      expect(matrix.scales).toHaveLength(ROWS * groupsOf(matrix));
      expect(matrixValues(matrix).every(Number.isFinite)).toBeTrue();
      const again = await quantized(bound, asked);
      expect(again?.matrix).toEqual(matrix);
    });

    test("more bits cost less", async () => {
      const errors = [];
      for (const bits of [2, 3, 4, 8]) errors.push((await quantized(bound, scheme({ bits })))?.error);
      const found = errors.filter((error) => error !== undefined);
      expect(found).toEqual(found.toSorted((a, b) => b - a));
      if (errors.at(-1) !== undefined) expect(errors.at(-1)).toBeLessThan(1e-3);
    });
  },
);
