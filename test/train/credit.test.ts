/** How layers hear what they should change: which gradients there are, and which are the same as others. */
import { describe, expect, test } from "bun:test";
import { stackExamples } from "../../src/data/batch.ts";
import type { Example } from "../../src/data/examples.ts";
import { bindDefaults } from "../../src/method/bind.ts";
import { Model } from "../../src/model/model.ts";
import { stackedBatches } from "../../src/run/training/batch-source.ts";
import { crossEntropyObjective } from "../../src/run/training/cross-entropy.ts";
import { trainModel } from "../../src/run/training/train-model.ts";
import { profileOf } from "../../src/tensor/program.ts";
import { Recorder } from "../../src/tensor/recorder.ts";
import { layerBeside } from "../../src/train/beside.ts";
import { type Credit, checkCredit, creditWork } from "../../src/train/credit.ts";
import { method as backprop } from "../../src/train/methods/credits/backprop.ts";
import { method as ccl, levelLoss, recordLevels } from "../../src/train/methods/credits/ccl.ts";
import { method as synthetic } from "../../src/train/methods/credits/synthetic.ts";
import { method as adamw } from "../../src/train/methods/optimizers/adamw.ts";
import { method as sgd } from "../../src/train/methods/optimizers/sgd.ts";
import { sharedGpu } from "../support/gpu.ts";
import { runOp } from "../support/program.ts";
import { normals } from "../support/random.ts";

const gpu = await sharedGpu();
const { signal } = new AbortController();
const CLASSES = 3;

const examples: Example[] = Array.from({ length: 60 }, (_, i) => {
  const x = normals(i + 1, 5);
  x[i % CLASSES]! += 2.5;
  return { form: "example", x, shape: [5], label: i % CLASSES, extra: {}, group: 0, place: `rows:${i}` } as Example;
});
const net = () =>
  Model.fresh(gpu, { model_type: "mlp", input_size: 5, hidden_sizes: [8, 6], num_labels: CLASSES }, "net", { seed: 1 });
const valuesOf = async (model: Model) => {
  const values: Record<string, Float32Array> = {};
  for (const { name, buffer, size } of model.trainable()) values[name] = await gpu.readFloats(buffer, size);
  return values;
};

interface Trained {
  readonly values: Record<string, Float32Array>;
  readonly metrics: Readonly<Record<string, number>>;
}

/** Trains a new net by a credit; by the ordinary objective where there is none. */
async function trained(
  credit: Credit | undefined,
  values: Readonly<Record<string, unknown>>,
  steps: number,
  by = "adamw",
): Promise<Trained> {
  const model = await net();
  const bound = credit && { ...bindDefaults(credit, values), method: credit };
  const work = bound && creditWork(bound, model, 4);
  const { last } = await trainModel({
    model,
    source: stackedBatches(examples, ["rows"], { batchSize: 20, seed: 3 }),
    objective: work?.objective ?? crossEntropyObjective(model, { statistics: "batch" }),
    extra: work?.extra ?? [],
    optimizer: by === "sgd" ? bindDefaults(sgd) : bindDefaults(adamw),
    rate: () => (by === "sgd" ? 0.1 : 0.01),
    ...{ steps, seed: 5, signal },
  });
  const found = { values: await valuesOf(model), metrics: last!.metrics };
  for (const parameter of work?.extra ?? []) parameter.free();
  model.free();
  return found;
}

describe("ccl", () => {
  test("the loss of a level reaches its own two layers, and no other", async () => {
    const model = await net();
    const feedback = [layerBeside(gpu, "f0", [6, 8], { seed: 1 }), layerBeside(gpu, "f1", [CLASSES, 6], { seed: 1 })];
    const batch = stackExamples(examples.slice(0, 7));
    for (const level of [0, 1]) {
      const rec = new Recorder(profileOf(gpu));
      const { levels } = recordLevels(rec, batch, { model, feedback, factor: 0.5 });
      rec.backward([[levels[level]!.loss, rec.constant(Float32Array.of(1), [1], "one")]]);
      const reached = [...rec.reached()].map(({ name }) => name).sort();
      const own = ["weight", "bias"].flatMap((part) => [`layers.${level}.${part}`, `f${level}.${part}`]);
      expect(reached).toEqual(own.sort());
    }
    for (const { weight, bias } of feedback) for (const parameter of [weight, bias]) parameter.free();
    model.free();
  });

  test("a level's loss and its gradients are those of f64", async () => {
    const [rows, width, factor] = [5, 7, 0.5];
    const [a, c] = [normals(1, rows * width), normals(2, rows * width)];
    const labels = [0, 1, 0, 2, 1];
    const same = Float32Array.from({ length: rows * rows }, (_, at) =>
      labels[Math.floor(at / rows)] === labels[at % rows] ? 1 : 0,
    );
    const error = Float64Array.from(same, (target, at) => {
      const [i, j] = [Math.floor(at / rows), at % rows];
      let sum = -target;
      for (let k = 0; k < width; k++) sum += a[i * width + k]! * c[j * width + k]!;
      return sum;
    });
    const scale = (256 * factor) / width / rows ** 2;
    const gradient = (other: Float32Array, at: (i: number, j: number) => number) =>
      Float64Array.from({ length: rows * width }, (_, place) => {
        const [i, k] = [Math.floor(place / width), place % width];
        let sum = 0;
        for (let j = 0; j < rows; j++) sum += 2 * scale * error[at(i, j)]! * other[j * width + k]!;
        return sum;
      });
    const { outputs, gradients } = await runOp(gpu, {
      inputs: {
        a: { shape: [rows, width], data: a, grad: true },
        c: { shape: [rows, width], data: c, grad: true },
        same: { shape: [rows, rows], data: same },
      },
      build: (rec, x) => levelLoss(rec, x.a!, x.c!, x.same!, factor),
      seeds: { y: Float32Array.of(1) },
    });
    expect(outputs.y![0]! / (scale * error.reduce((sum, e) => sum + e * e, 0))).toBeCloseTo(1, 5);
    for (const [found, wanted] of [
      [gradients.a!, gradient(c, (i, j) => i * rows + j)],
      [gradients.c!, gradient(a, (i, j) => j * rows + i)],
    ] as const)
      for (const [i, value] of wanted.entries()) expect(Math.abs(found[i]! - value)).toBeLessThan(2e-4);
  });

  test("both networks learn to meet", async () => {
    const [early, late] = [await trained(ccl, {}, 1), await trained(ccl, {}, 90)];
    expect(late.metrics.local_loss).toBeLessThan(0.5 * early.metrics.local_loss!);
    expect(late.metrics.loss).toBeLessThan(0.7 * early.metrics.loss!);
  });
});

describe("synthetic gradients", () => {
  test("what arrives in place of a guess is backpropagation, bit for bit", async () => {
    const [plain, exact] = [await trained(undefined, {}, 12), await trained(synthetic, { synthetic_exact: true }, 12)];
    expect(exact.values).toEqual(plain.values);
    expect(exact.metrics.loss).toBe(plain.metrics.loss!);
  });

  test("a new guess is of no change: only the head moves at first, and as it would", async () => {
    const [plain, first] = [await trained(undefined, {}, 1, "sgd"), await trained(synthetic, {}, 1, "sgd")];
    const model = await net();
    const start = await valuesOf(model);
    model.free();
    for (const [name, values] of Object.entries(first.values))
      expect(values).toEqual((name.startsWith("classifier") ? plain.values : start)[name]!);
    expect(first.metrics).toMatchObject({ "cosine.1": 0, "cosine.2": 0 });
  });

  test("guesses turn towards what arrives, and the loss falls by them", async () => {
    const late = await trained(synthetic, {}, 240);
    for (const level of [1, 2]) expect(late.metrics[`cosine.${level}`]).toBeGreaterThan(0.5);
    expect(late.metrics.loss).toBeLessThan(0.6);
    const gated = await trained(synthetic, { synthetic_gate: 2 }, 240);
    expect(gated.values).not.toEqual(late.values);
    expect(gated.metrics.loss).toBeLessThan(0.6);
  });
});

describe("refusals", () => {
  test("another objective, and another model", async () => {
    const bound = { ...bindDefaults(ccl), method: ccl };
    expect(() => checkCredit(bound, "focal", {})).toThrow("--loss is for that of the whole model");
    expect(() => checkCredit(bound, "ce", { smoothing: 0.1 })).toThrow("--smoothing");
    expect(() => checkCredit(bound, "ce", { smoothing: 0, head: "own", schedule_search: undefined })).not.toThrow();
    expect(() => checkCredit({ ...bindDefaults(backprop), method: backprop }, "focal", {})).not.toThrow();
    const flat = await Model.fresh(gpu, { model_type: "mlp", input_size: 5, hidden_sizes: [], num_labels: 2 }, "flat", {
      seed: 1,
    });
    expect(() => creditWork(bound, flat, 1)).toThrow("with hidden_sizes");
    flat.free();
  });
});
