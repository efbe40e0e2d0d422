import { describe, expect, test } from "bun:test";
import { stackExamples } from "../../../../src/data/batch.ts";
import type { Example } from "../../../../src/data/examples.ts";
import { bindDefaults } from "../../../../src/method/bind.ts";
import { Model } from "../../../../src/model/model.ts";
import { stackedBatches } from "../../../../src/run/training/batch-source.ts";
import { crossEntropyObjective } from "../../../../src/run/training/cross-entropy.ts";
import { type Unit, UnitRates, unitFactors } from "../../../../src/run/training/rules/unit-rates.ts";
import { trainModel } from "../../../../src/run/training/train-model.ts";
import { method as adamw } from "../../../../src/train/methods/optimizers/adamw.ts";
import { sharedGpu } from "../../../support/gpu.ts";
import { normals } from "../../../support/random.ts";

const gpu = await sharedGpu();
const { signal } = new AbortController();
const CONFIG = { model_type: "mlp", input_size: 4, hidden_sizes: [8], num_labels: 3 };

const examples = (seed: number) =>
  Array.from({ length: 12 }, (_, i): Example => {
    const x = normals(seed + i, 4);
    x[i % 3]! += 2;
    return { form: "example", x, shape: [4], label: i % 3, extra: {}, group: 0, place: `points:${i}` } as Example;
  });
const kept = [
  [stackExamples(examples(500).slice(0, 6)), stackExamples(examples(500).slice(6))],
  [stackExamples(examples(900))],
];

/** Weights by name before and after so many steps. */
async function trained(steps: number, options?: { unit: Unit; every?: number }, only?: string) {
  const model = await Model.fresh(gpu, CONFIG, "net", {
    seed: 1,
    freeze: (name) => only !== undefined && name !== only,
  });
  const weights = async () => {
    const found = new Map<string, Float32Array>();
    for (const { name, buffer, size } of model.trainable()) found.set(name, await gpu.readFloats(buffer, size));
    return found;
  };
  const from = await weights();
  const rule = options && (await UnitRates.make(model, { groups: kept, every: 500, seed: 0, signal, ...options }));
  await trainModel({
    model,
    source: stackedBatches(examples(0), ["points"], { batchSize: 4, seed: 3 }),
    objective: crossEntropyObjective(model),
    optimizer: bindDefaults(adamw),
    rate: () => 0.01,
    ...{ steps, seed: 5, signal, updates: rule ? [rule] : [] },
  });
  const to = await weights();
  model.free();
  return { from, to };
}

/** Largest way of a weight. */
const way = (from: Float32Array, to: Float32Array) =>
  to.reduce((most, w, i) => Math.max(most, Math.abs(w - from[i]!)), 0);

describe("UnitRates", () => {
  test("the factor falls from 2 to 0 with importance, over all units, and is 1 where all are alike", () => {
    expect(unitFactors([[1, 3], [2]])).toEqual([[2, 0], [1]]);
    expect(unitFactors([[4, 4], [4]])).toEqual([[1, 1], [1]]);
  });

  test("in a step of AdamW the least important tensor moves twice as far, the most important one stays", async () => {
    const plain = await trained(1);
    const scaled = await trained(1, { unit: "tensor" });
    const factors = [...plain.to].map(([name, to]) => {
      const from = plain.from.get(name)!;
      return way(from, scaled.to.get(name)!) / way(from, to);
    });
    expect(Math.min(...factors)).toBe(0);
    expect(Math.max(...factors)).toBeCloseTo(2, 3);
  });

  test("one tensor alone has factor 1: the same bytes as without", async () => {
    const only = "layers.0.weight";
    const plain = await trained(3, undefined, only);
    expect(plain.to.size).toBe(1);
    expect((await trained(3, { unit: "tensor" }, only)).to).toEqual(plain.to);
    // Its rows differ.
    expect((await trained(3, { unit: "row" }, only)).to).not.toEqual(plain.to);
  });

  test("importances are measured again after so many steps", async () => {
    const first = await trained(4, { unit: "row", every: 4 });
    expect((await trained(4, { unit: "row", every: 500 })).to).toEqual(first.to);
    expect((await trained(4, { unit: "row", every: 3 })).to).not.toEqual(first.to);
  });
});
