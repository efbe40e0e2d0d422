/**
 * DOGE on four classification tasks, against task arithmetic at its best single scale.
 *
 * Measured over seeds 1-4, mean accuracy at the best of four eta: 96.0, 96.5, 96.4, 95.5; task arithmetic at the best
 * of seven scales: 96.2, 97.1, 96.6, 96.2; base 94.9, 95.1, 95.5, 94.0. At this scale DOGE does not beat task
 * arithmetic, it comes within 0.7 points of it; it does beat its own start (no steps, no mask) on three seeds of four.
 * The test holds it to that.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { type Gpu, openGpu } from "../../src/gpu/gpu.ts";
import { method as doge } from "../../src/merge/methods/task-vectors/doge.ts";
import { method as taskArithmetic } from "../../src/merge/methods/task-vectors/task-arithmetic.ts";
import { meanAccuracy, mergeMlp } from "./merge-mlp.ts";
import { clusters, Mlp } from "./support.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu();
});
afterAll(() => gpu.close());

test("gains over the base most of what tuned task arithmetic gains", async () => {
  const seed = 1;
  const task = clusters(16, 16, seed, 1);
  const groups = [0, 1, 2, 3].map((g) => [0, 1, 2, 3].map((i) => 4 * g + i));
  const base = Mlp.random([16, 32, 32, 16], seed).train(task(800, 11), { steps: 150, lr: 0.1, seed });
  const models = groups.map((group, k) =>
    base.clone().train(task(400, 21 + k, group), { steps: 400, lr: 0.1, seed, allowed: group }),
  );
  const tests = groups.map((group, k) => task(600, 51 + k, group));
  const merged = await mergeMlp(gpu, doge, base, models, { values: { eta: 0.3 } });
  let best = 0;
  for (const weight of [0.2, 0.3, 0.4, 0.5, 0.7]) {
    const plain = await mergeMlp(gpu, taskArithmetic, base, models, {
      perModel: [{ weight }],
      values: { normalize: false },
    });
    best = Math.max(best, meanAccuracy(plain, tests, groups));
  }
  expect(meanAccuracy(merged, tests, groups)).toBeGreaterThan(meanAccuracy(base, tests, groups) + 0.005);
  expect(meanAccuracy(merged, tests, groups)).toBeGreaterThan(best - 0.015);
}, 30_000);
