/** Losses over a queue of past features: what the queue holds, runs that go on to the byte, and what is refused. */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Example } from "../../src/data/examples.ts";
import { bindDefaults } from "../../src/method/bind.ts";
import { Model } from "../../src/model/model.ts";
import { stackedBatches } from "../../src/run/training/batch-source.ts";
import { FeatureQueue } from "../../src/run/training/feature-queue.ts";
import { Training } from "../../src/run/training/train-model.ts";
import { copyState, type SavedTraining } from "../../src/run/training/training-state.ts";
import { method as knn } from "../../src/train/methods/losses/knn.ts";
import { method as look } from "../../src/train/methods/losses/look.ts";
import { method as adamw } from "../../src/train/methods/optimizers/adamw.ts";
import { runScript } from "../support/command.ts";
import { sharedGpu } from "../support/gpu.ts";
import { normals } from "../support/random.ts";

const gpu = await sharedGpu();
const [ROWS, STEPS] = [13, 9];
const task = Array.from({ length: ROWS }, (_, i): Example => {
  const x = normals(i, 4);
  x[i % 3]! += 2;
  return { form: "example", x, shape: [4], label: i % 3, extra: {}, group: 0, place: `rows:${i}` } as Example;
});
const net = () =>
  Model.fresh(gpu, { model_type: "mlp", input_size: 4, hidden_sizes: [6], num_labels: 3 }, "net", { seed: 1 });
const OWN = {
  ...{ look_queue: 8, look_neighbours: 4, look_temperature: 0.2 },
  ...{ knn_queue: 8, knn_neighbours: 4, knn_first: 1, knn_last: 0.1 },
};

/** Where a training was cut. */
interface Cut {
  readonly weights: readonly Float32Array[];
  readonly training: SavedTraining;
}

/** A training by a loss with a queue of 8, up to step `stop`. */
async function trained(loss: typeof look | typeof knn, given: { stop: number; from?: Cut; rate?: number }) {
  const { stop, from, rate = 0.01 } = given;
  const model = await net();
  for (const [i, parameter] of model.trainable().entries()) if (from) parameter.write(from.weights[i]!);
  const source = stackedBatches(task, ["rows"], { batchSize: 5, seed: 3 });
  const {
    objective,
    updates = [],
    controllers = [],
  } = await loss.own!({
    ...{ model, values: OWN, softened: {}, seed: 1, recompute: false, steps: STEPS },
    ...{ places: task.map(({ place }) => place), batch: source.largest().rows, groups: ["rows"], begins: true },
  });
  const training = await Training.make({
    ...{ model, source, objective, updates, controllers, optimizer: bindDefaults(adamw), steps: STEPS, seed: 3 },
    rate: () => rate,
  });
  if (from) await training.load(from.training);
  const abort = new AbortController();
  const losses: number[] = [];
  await training.run({
    signal: abort.signal,
    saveEvery: 1,
    save: async (step) => {
      if (step === stop) abort.abort();
    },
    onStep: ({ metrics }) => losses.push(metrics.loss!),
  });
  const valuesOf = (list: readonly { buffer: GPUBuffer; size: number }[]) =>
    Promise.all(list.map(({ buffer, size }) => gpu.readFloats(buffer, size)));
  const [weights, saved] = [await valuesOf(model.trainable()), await copyState(gpu, training.state())];
  const queue = await valuesOf(updates.find((rule) => rule instanceof FeatureQueue)!.kept);
  await training.free();
  model.free();
  return { cut: { weights, training: saved }, weights, queue, losses };
}

test.each([
  ["look", look],
  ["knn", knn],
] as const)("%s: a run that is cut goes on to the byte", async (_, loss) => {
  const whole = await trained(loss, { stop: STEPS });
  expect(whole.losses[0]).toBe(0);
  expect(whole.losses.at(-1)).toBeGreaterThan(0);
  for (const stop of [1, 4]) {
    const { cut } = await trained(loss, { stop });
    const { weights, queue } = await trained(loss, { stop: STEPS, from: cut });
    expect([weights, queue]).toEqual([whole.weights, whole.queue]);
  }
});

test("the queue holds unit features with the labels and numbers of their rows, the oldest overwritten", async () => {
  const { weights, queue } = await trained(look, { stop: 4, rate: 0 });
  const [w, b] = weights as [Float32Array, Float32Array];
  const featuresOf = (x: ArrayLike<number>) => {
    const h = Array.from(b, (bias, r) =>
      Math.max(
        0,
        Array.from(x).reduce((sum, v, c) => sum + v * w[4 * r + c]!, bias),
      ),
    );
    return h.map((v) => v / (Math.hypot(...h) || 1));
  };
  const [features, tags] = queue as [Float32Array, Float32Array];
  const ids = Array.from({ length: 8 }, (_, j) => tags[2 * j + 1]!);
  for (const [j, id] of ids.entries()) {
    expect(tags[2 * j]).toBe(id % 3);
    const wanted = featuresOf((task[id] as { x: Float32Array }).x);
    for (const [c, x] of wanted.entries()) expect(features[6 * j + c]).toBeCloseTo(x, 5);
  }
  // Batches of an epoch are of 5, 5 and 3 rows: three of them are in, and the last 8 rows of these are left.
  const order = stackedBatches(task, ["rows"], { batchSize: 5, seed: 3 });
  const seen: string[] = [];
  for (let i = 0; i < 3; i++) seen.push(...(await order.next()).batch.places);
  const expected = seen.slice(-8).map((place) => Number(place.slice(5)));
  expect(ids.toSorted()).toEqual(expected.toSorted());
  expect(ids[seen.length % 8]).toBe(expected[0]!);
});

test("what does not fit is refused", async () => {
  const folder = mkdtempSync(join(tmpdir(), "ingot-queue-"));
  try {
    const rows = task.map((row) => ({ x: [...(row as { x: Float32Array }).x], label: row.label }));
    writeFileSync(join(folder, "rows.jsonl"), rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
    const config = { model_type: "mlp", input_size: 4, hidden_sizes: [6], num_labels: 3 };
    writeFileSync(join(folder, "mlp.json"), JSON.stringify(config));
    const refused = async (line: string) => {
      const words = `--init mlp.json --data rows.jsonl --steps 1 -o x/ ${line}`.split(" ");
      const { code, err } = await runScript("train", words, folder);
      expect(code).toBe(2);
      return err;
    };
    expect(await refused("--loss look --look-queue 8 --look-neighbours 9")).toContain("9 neighbours of a queue of 8");
    expect(await refused("--loss knn --knn-queue 4 --knn-neighbours 4 --batch-size 5")).toContain(
      "smaller than a batch",
    );
    expect(await refused("--loss knn --mixup 0.5")).toContain("--mixup is a part of cross-entropy");
    expect(await refused("--loss look --head sparse-etf")).toContain("--head sparse-etf is a part of cross-entropy");
  } finally {
    rmSync(folder, { recursive: true });
  }
});
