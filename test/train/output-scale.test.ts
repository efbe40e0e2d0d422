/** `train --output-scale`: what is trained, and that a large scale moves weights less. */
import { expect, setDefaultTimeout, test } from "bun:test";
import type { Batch } from "../../src/data/batch.ts";
import { bindDefaults } from "../../src/method/bind.ts";
import { loadMethod } from "../../src/method/registry.ts";
import type { Model } from "../../src/model/model.ts";
import { numberBatches } from "../../src/run/training/batch-source.ts";
import { crossEntropyObjective } from "../../src/run/training/cross-entropy.ts";
import type { Objective } from "../../src/run/training/objective.ts";
import { trainModel } from "../../src/run/training/train-model.ts";
import { scaledOutputs } from "../../src/train/losses/output-scale.ts";
import { answer, CLASSES, fresh, logSum, ROWS, weightsOf } from "./probe-world.ts";

setDefaultTimeout(120_000);
const { signal } = new AbortController();
const sgd = bindDefaults(await loadMethod("optimizer", "sgd"));

/** Trains a fresh model; gives how far its weights moved, and the losses and accuracies of its steps. */
async function trained(make: (model: Model, first: Model) => Objective<Batch>, steps = 5) {
  const [model, first] = [await fresh(2), await fresh(2)];
  for (const parameter of first.trainable()) parameter.trainable = false;
  const before = await weightsOf(model);
  const metrics: Readonly<Record<string, number>>[] = [];
  await trainModel<Batch>({
    model,
    source: numberBatches(ROWS, ROWS.length, 0),
    objective: make(model, first),
    ...{ optimizer: sgd, rate: () => 0.5, steps, seed: 0, signal },
    onStep: (result) => metrics.push(result.metrics),
  });
  const after = await weightsOf(model);
  model.free();
  first.free();
  return { before, after, moved: Math.hypot(...after.map((x, i) => x - before[i]!)), metrics };
}

test("a scale of 1 without a centre is ordinary training", async () => {
  const plain = await trained((model) => crossEntropyObjective(model));
  const scaled = await trained((model) => scaledOutputs(model, 1, { first: undefined, recompute: false }));
  expect(scaled.after).toEqual(plain.after);
});

test("outputs are scaled less what they began with: the first loss is that of guessing, later ones as in float64", async () => {
  const found = await trained((model, first) => scaledOutputs(model, 3, { first, recompute: false }));
  expect(found.metrics[0]!.loss!).toBeCloseTo(Math.log(CLASSES), 5);
  const last = await trained((model, first) => scaledOutputs(model, 3, { first, recompute: false }), 4);
  const losses = ROWS.map(({ x, label }) => {
    const [now, began] = [answer(last.after, x).logits, answer(last.before, x).logits];
    const z = now.map((value, c) => 3 * (value - began[c]!));
    return logSum(z) - z[label]!;
  });
  expect(found.metrics[4]!.loss!).toBeCloseTo(losses.reduce((a, b) => a + b, 0) / ROWS.length, 4);
});

test("a larger scale is lazier: weights move by about its inverse", async () => {
  const moved = async (factor: number) =>
    (await trained((model, first) => scaledOutputs(model, factor, { first, recompute: false }), 1)).moved;
  const [one, ten] = [await moved(1), await moved(10)];
  expect(one / ten).toBeGreaterThan(9.9);
  expect(one / ten).toBeLessThan(10.1);
});
