/** Two networks trained apart: the hill between them is lower once one is in the order of the other. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { decodeFloats } from "../../../src/checkpoint/decode.ts";
import { familiesOf, matchWeights } from "../../../src/merge/structure/align-weights.ts";
import { permuted } from "../../../src/merge/structure/permutations.ts";
import { bindDefaults } from "../../../src/method/bind.ts";
import { Model } from "../../../src/model/model.ts";
import type { NamedModel } from "../../../src/model/names.ts";
import { anatomyOf } from "../../../src/model/structure/anatomy.ts";
import { stackedBatches } from "../../../src/run/training/batch-source.ts";
import { crossEntropyObjective } from "../../../src/run/training/cross-entropy.ts";
import { trainModel } from "../../../src/run/training/train-model.ts";
import { method as adamw } from "../../../src/train/methods/optimizers/adamw.ts";
import { entryOf } from "../../support/entry.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { normals } from "../../support/random.ts";
import { checkpointOf, named, valuesOf } from "./networks.ts";

setDefaultTimeout(120_000); // the machine may be busy

const gpu = await sharedGpu();
const JSON_CONFIG = { model_type: "mlp", input_size: 8, hidden_sizes: [48, 48], num_labels: 4 };

/** Four classes by the signs of two products: no linear network can tell them apart. */
const ROWS = Array.from({ length: 256 }, (_, i) => {
  const x = normals(i, 8);
  const label = Number(x[0]! * x[1]! > 0) + 2 * Number(x[2]! * x[3]! > 0);
  return { form: "example" as const, x, shape: [8], label, extra: {}, group: 0, place: `${i}` };
});

async function trained(seed: number): Promise<NamedModel> {
  const model = await Model.fresh(gpu, JSON_CONFIG, `seed${seed}`, { seed });
  await trainModel({
    ...{ model, objective: crossEntropyObjective(model), optimizer: bindDefaults(adamw), rate: () => 0.01 },
    ...{ source: stackedBatches([...ROWS], ["rows"], { batchSize: 64, seed }), steps: 250, seed },
    signal: new AbortController().signal,
  });
  const entries = await Promise.all(
    model.stored.map(async ({ name, parameter, shape }) =>
      entryOf(name, "F32", shape, await gpu.readFloats(parameter.buffer, parameter.size)),
    ),
  );
  model.free();
  return named(checkpointOf(`seed${seed}`, JSON_CONFIG, entries));
}

type Weights = ReadonlyMap<string, Float32Array>;

const weightsOf = async ({ tensors }: NamedModel): Promise<Weights> =>
  new Map(
    await Promise.all(
      [...tensors].map(async ([name, entry]) => [name, decodeFloats(await valuesOf(entry), "F32")] as const),
    ),
  );

const between = (a: Weights, b: Weights): Weights =>
  new Map([...a].map(([name, values]) => [name, values.map((x, i) => (x + b.get(name)![i]!) / 2)]));

/** Mean cross-entropy, in f64. */
function lossOf(weights: Weights): number {
  const layer = (x: readonly number[], module: string, rectify: boolean): number[] => {
    const [w, b] = [weights.get(`${module}.weight`)!, weights.get(`${module}.bias`)!];
    return Array.from(b, (bias, o) => {
      const y = x.reduce((sum, value, i) => sum + value * w[o * x.length + i]!, bias);
      return rectify ? Math.max(0, y) : y;
    });
  };
  const losses = ROWS.map(({ x, label }) => {
    const logits = layer(layer(layer([...x], "layers.0", true), "layers.1", true), "classifier", false);
    const most = Math.max(...logits);
    return most + Math.log(logits.reduce((sum, y) => sum + Math.exp(y - most), 0)) - logits[label]!;
  });
  return losses.reduce((a, b) => a + b, 0) / losses.length;
}

test("the hill between two independently trained networks falls by more than half", async () => {
  const [one, two] = [await trained(1), await trained(2)];
  const anatomy = anatomyOf(one);
  const spaces = new Set(anatomy.spaces.keys());
  const found = new Map<string, Int32Array>();
  await matchWeights(gpu, [one, two], anatomy, familiesOf(anatomy, spaces), found);
  const [a, b, c] = [
    await weightsOf(one),
    await weightsOf(two),
    await weightsOf(permuted(two, anatomy, () => found, spaces)),
  ];
  const ends = (lossOf(a) + lossOf(b)) / 2;
  expect(ends).toBeLessThan(0.1);
  expect(lossOf(c)).toBeCloseTo(lossOf(b), 5);
  const [plain, aligned] = [lossOf(between(a, b)) - ends, lossOf(between(a, c)) - ends];
  expect(plain).toBeGreaterThan(0.2);
  expect(aligned).toBeLessThan(plain / 2);
});
