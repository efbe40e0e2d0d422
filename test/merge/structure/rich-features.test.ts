/** Networks of several seeds side by side have features for a task that none of them was trained on. */
import { expect, setDefaultTimeout, test } from "bun:test";
import type { Checkpoint } from "../../../src/checkpoint/checkpoint.ts";
import { decodeFloats } from "../../../src/checkpoint/decode.ts";
import { bindDefaults } from "../../../src/method/bind.ts";
import { Model } from "../../../src/model/model.ts";
import { stackedBatches } from "../../../src/run/training/batch-source.ts";
import { crossEntropyObjective } from "../../../src/run/training/cross-entropy.ts";
import { trainModel } from "../../../src/run/training/train-model.ts";
import { method as adamw } from "../../../src/train/methods/optimizers/adamw.ts";
import { entryOf } from "../../support/entry.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { normals } from "../../support/random.ts";
import { checkpointOf, mergedBy, valuesOf } from "./networks.ts";

setDefaultTimeout(300_000); // the machine may be busy

const gpu = await sharedGpu();
const INPUTS = 6;
const inputs = (count: number, seed: number) => Array.from({ length: count }, (_, i) => normals(seed + i, INPUTS));
/** Which quadrant the first two values are in, for training; whether two others have one sign, for probing. */
const taskA = (x: Float32Array) => Number(x[0]! * x[1]! > 0);
const taskB = (x: Float32Array) => (x[0]! * x[2]! > 0 ? 1 : -1);
const ROWS = inputs(256, 0);

async function trained(hidden: number, seed: number): Promise<Checkpoint> {
  const json = { model_type: "mlp", input_size: INPUTS, hidden_sizes: [hidden], num_labels: 2 };
  const model = await Model.fresh(gpu, json, `net${hidden}.${seed}`, { seed });
  const rows = ROWS.map((x, i) => ({
    ...{ form: "example" as const, x, shape: [INPUTS], label: taskA(x), extra: {}, group: 0, place: `${i}` },
  }));
  await trainModel({
    ...{ model, objective: crossEntropyObjective(model), optimizer: bindDefaults(adamw), rate: () => 0.01 },
    ...{ source: stackedBatches(rows, ["rows"], { batchSize: 64, seed }), steps: 150, seed },
    signal: new AbortController().signal,
  });
  const entries = await Promise.all(
    model.stored.map(async ({ name, parameter, shape }) =>
      entryOf(name, "F32", shape, await gpu.readFloats(parameter.buffer, parameter.size)),
    ),
  );
  model.free();
  return checkpointOf(`net${hidden}.${seed}`, json, entries);
}

/** Hidden units of every row, and a constant. */
async function features({ tensors }: Checkpoint, rows: readonly Float32Array[]): Promise<number[][]> {
  const [w, b] = await Promise.all(
    ["layers.0.weight", "layers.0.bias"].map(async (name) => decodeFloats(await valuesOf(tensors.get(name)!), "F32")),
  );
  return rows.map((x) => [
    1,
    ...Array.from(b!, (bias, u) =>
      Math.max(
        0,
        x.reduce((sum, value, i) => sum + value * w![u * INPUTS + i]!, bias),
      ),
    ),
  ]);
}

/** Accuracy on new rows of the ridge regression of task B on features. */
async function probed(net: Checkpoint): Promise<number> {
  const [train, test] = [inputs(400, 10_000), inputs(1000, 20_000)];
  const [from, to] = [await features(net, train), await features(net, test)];
  const n = from[0]!.length;
  const system = Array.from({ length: n }, (_, i) => [
    ...Array.from({ length: n }, (__, j) => from.reduce((sum, f) => sum + f[i]! * f[j]!, i === j ? 1 : 0)),
    from.reduce((sum, f, r) => sum + f[i]! * taskB(train[r]!), 0),
  ]);
  for (let c = 0; c < n; c++)
    for (let r = 0; r < n; r++) {
      const factor = r === c ? 0 : system[r]![c]! / system[c]![c]!;
      if (factor !== 0) for (let j = c; j <= n; j++) system[r]![j]! -= factor * system[c]![j]!;
    }
  const weights = system.map((row, i) => row[n]! / row[i]!);
  const right = to.filter((f, r) => f.reduce((sum, value, i) => sum + value * weights[i]!, 0) * taskB(test[r]!) > 0);
  return right.length / test.length;
}

test("a linear probe for another task reads more from five networks than from one", async () => {
  const nets = await Promise.all([1, 2, 3, 4, 5].map((seed) => trained(8, seed)));
  const { checkpoint: cat } = await mergedBy(gpu, "concat", { models: nets });
  const singles = await Promise.all(nets.map(probed));
  const wide = await probed(await trained(40, 6));
  // Measured: 0.57 to 0.61 of one, 0.78 of one network five times as wide, 0.80 of five.
  const best = Math.max(...singles) + 0.05;
  expect(wide).toBeGreaterThan(best);
  expect(await probed(cat)).toBeGreaterThan(Math.max(best, wide - 0.02));
});
