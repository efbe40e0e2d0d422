import { expect, test } from "bun:test";
import { collate } from "../../../src/data/batch.ts";
import { Model } from "../../../src/model/model.ts";
import {
  ablatedLosses,
  blockWeights,
  gradientImportances,
  normalized,
} from "../../../src/run/fisher/layer-importance.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { TINY_TEXT } from "../../support/tiny-models.ts";

const gpu = await sharedGpu();
const options = { ref: "tiny", signal: new AbortController().signal };
const batches = [0, 1].map((k) => {
  const rows = [0, 1].map((row) => Int32Array.from({ length: 7 }, (_, i) => (3 * i + 5 * row + 11 * k) % 40));
  return collate(
    rows.map((ids, i) => [{ ids, labels: ids, group: 0, place: `${k}.${i}` }]),
    { buckets: "none" },
  );
});

/** A model whose block 1 writes nothing. */
async function withIdleBlock() {
  const model = await Model.fresh(gpu, { ...TINY_TEXT.llama!, num_hidden_layers: 3, initializer_range: 0.3 }, "tiny", {
    seed: 1,
  });
  for (const { name, buffer, size } of model.parameters.values())
    if (/layers\.1\..*(o_proj|down_proj)\.weight$/.test(name)) gpu.clear(buffer, 4 * size);
  return model;
}

test("without a block that writes nothing the loss is the same to the bit, and every weight stays as it was", async () => {
  const model = await withIdleBlock();
  const weights = () =>
    Promise.all([...model.parameters.values()].map(({ buffer, size }) => gpu.readFloats(buffer, size)));
  const before = await weights();
  const { loss, importance } = await ablatedLosses(model, batches, options);
  expect(await weights()).toEqual(before);
  expect(Number.isFinite(loss)).toBe(true);
  expect(importance[1]).toBe(0);
  for (const layer of [0, 2]) expect(Math.abs(importance[layer]!)).toBeGreaterThan(1e-3);
  model.free();
});

test("by gradients: sums of |theta x gradient| over the block, as the host adds them up", async () => {
  const model = await withIdleBlock();
  const { importance } = await gradientImportances(model, batches.slice(0, 1), options);
  const sums = await Promise.all(
    blockWeights(model, "tiny").map(async (weights) => {
      let sum = 0;
      for (const { buffer, gradient, size } of weights) {
        const [w, g] = [await gpu.readFloats(buffer, size), await gpu.readFloats(gradient, size)];
        for (const [i, x] of w.entries()) sum += Math.abs(x * g[i]!);
      }
      return sum;
    }),
  );
  for (const [layer, sum] of sums.entries()) expect(Math.abs(importance[layer]! - sum)).toBeLessThanOrEqual(1e-5 * sum);
  expect(sums.map((sum) => sum > 0)).toEqual([true, false, true]); // what writes nothing takes no gradient
  const both = await gradientImportances(model, batches, options);
  const other = await gradientImportances(model, batches.slice(1), options);
  for (const [layer, x] of both.importance.entries())
    expect(Math.abs(x - (importance[layer]! + other.importance[layer]!) / 2)).toBeLessThanOrEqual(1e-5 * x);
  model.free();
});

test("shares go from 0 to 1", () => {
  expect(normalized([3, 1, 2])).toEqual([1, 0, 0.5]);
  expect(normalized([2, 2])).toEqual([0, 0]);
});
