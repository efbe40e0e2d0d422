/** Rows weighed by their uncertainty: equal at first, against float64 after, and two tasks of losses 1 : 100. */
import { expect, test } from "bun:test";
import { type Batch, collate, stackExamples } from "../../src/data/batch.ts";
import { bindDefaults } from "../../src/method/bind.ts";
import { Model } from "../../src/model/model.ts";
import { crossEntropyObjective } from "../../src/run/training/cross-entropy.ts";
import type { Objective } from "../../src/run/training/objective.ts";
import { Trainer } from "../../src/run/training/trainer.ts";
import { joinColumns } from "../../src/tensor/ops/columns.ts";
import { add, mul, scale, square, stopGradient } from "../../src/tensor/ops/elementwise.ts";
import { dot } from "../../src/tensor/ops/reduce.ts";
import { Parameter } from "../../src/tensor/parameter.ts";
import { Program, profileOf } from "../../src/tensor/program.ts";
import { Recorder } from "../../src/tensor/recorder.ts";
import { lossBalance, uncertaintyNetwork, weighedByUncertainty } from "../../src/train/losses/loss-balance.ts";
import { method as adamw } from "../../src/train/methods/optimizers/adamw.ts";
import { sharedGpu } from "../support/gpu.ts";
import { normals } from "../support/random.ts";
import { TINY_EXAMPLES, TINY_TEXT } from "../support/tiny-models.ts";

const gpu = await sharedGpu();
const PLAIN = { pack: false, seed: 1, continues: false };

const BATCH = collate(
  [[1, 5, 7, 2, 9], [4, 8, 15, 16, 2], [3]].map((row, i) => [
    { ids: Int32Array.from(row), labels: Int32Array.from(row), group: 0, place: `${i}` },
  ]),
  { buckets: "none" },
);

/** The metrics of a batch, and the gradient of a weight. */
async function ran(objective: Objective<Batch>, weight: Parameter, batch: Batch = BATCH) {
  const rec = new Recorder(profileOf(gpu));
  const { backward, metrics } = objective.record(rec, batch, "");
  for (const [name, x] of Object.entries(metrics)) rec.output(name, x);
  rec.backward(backward);
  const program = await Program.compile(gpu, rec);
  objective.fill(program, batch, objective.counted(batch, ""), "");
  program.run({ accumulate: 0 });
  const found: Record<string, number> = {};
  for (const name of Object.keys(metrics)) found[name] = (await program.read(name))[0]!;
  const gradient = await gpu.readFloats(weight.gradient, weight.size);
  program.free();
  return { metrics: found, gradient };
}

test("at first all rows count alike, by half; a row without targets counts nothing", async () => {
  const model = await Model.fresh(gpu, TINY_TEXT.llama!, "m", { seed: 3 });
  const weight = model.parameters.get("model.layers.0.mlp.up_proj.weight")!;
  const plain = await ran(crossEntropyObjective(model), weight);
  const built = { gpu, model, original: () => model.frozenCopy() };
  const { weigher, extra, memory, free } = await lossBalance(built, PLAIN);
  expect(memory.reference).toBeGreaterThan(0);
  expect(weigher.counted(BATCH)).toBe(2);
  const found = await ran(crossEntropyObjective(model, { weigher }), weight);
  expect(found.metrics.uncertainty).toBeCloseTo(1, 6);
  expect(found.metrics.loss).toBeCloseTo(plain.metrics.loss!, 5);
  expect(found.metrics.balanced_loss).toBeCloseTo(0.5 * plain.metrics.loss! + 0.5 * Math.log(2), 5);
  for (const [i, x] of found.gradient.entries()) expect(x).toBeCloseTo(0.5 * plain.gradient[i]!, 5);
  expect(extra.length).toBe(10);
  free();
  model.free();
});

test("logits in pieces, and a model that has moved, give the same; so do classifiers", async () => {
  const long = collate(
    [0, 1, 2].map((row) => {
      const ids = Int32Array.from({ length: 60 }, (_, i) => (7 * i + 11 * row) % 50);
      return [{ ids, labels: ids, group: 0, place: `${row}` }];
    }),
    { buckets: "none" },
  );
  const numbers = stackExamples([1, 2, 3].map((seed) => ({ x: normals(seed, 5, 1), shape: [5], label: seed % 2 })));
  for (const [json, batch] of [
    [TINY_TEXT.llama!, long],
    [{ ...TINY_EXAMPLES.mlp!, input_size: 5 }, numbers],
  ] as const) {
    const model = await Model.fresh(gpu, json, "m", { seed: 3 });
    const before = await model.frozenCopy();
    const weight = [...model.parameters.values()].findLast(({ shape }) => shape.length === 2)!;
    const { weigher, free } = await lossBalance({ gpu, model, original: async () => before }, PLAIN);
    weight.write(normals(4, weight.size, 0.3));
    const whole = await ran(crossEntropyObjective(model, { weigher }), weight, batch);
    const cut = await ran(crossEntropyObjective(model, { weigher, logitBytes: 1 }), weight, batch);
    for (const [name, x] of Object.entries(whole.metrics)) expect(cut.metrics[name]).toBeCloseTo(x, 5);
    for (const [i, x] of whole.gradient.entries()) expect(cut.gradient[i]).toBeCloseTo(x, 5);
    free();
    model.free();
  }
});

test("packed rows are refused", async () => {
  const model = await Model.fresh(gpu, TINY_TEXT.llama!, "m", { seed: 3 });
  const built = { gpu, model, original: () => model.frozenCopy() };
  await expect(lossBalance(built, { ...PLAIN, pack: true })).rejects.toThrow("--pack joins several");
  await expect(lossBalance(built, { ...PLAIN, continues: true })).rejects.toThrow("--lora-continue changes that");
  model.free();
});

test("the network and what rows count, against float64; the signals take no gradient", async () => {
  const network = uncertaintyNetwork(gpu, 5);
  const values = new Map<string, Float32Array>();
  for (const [name, parameter] of network) {
    const noise = normals(name.length, parameter.size, 0.1);
    const own = (await gpu.readFloats(parameter.buffer, parameter.size)).map((x, i) => x + noise[i]!);
    parameter.write(own);
    values.set(name, own);
  }
  const signals = [
    [2, 0.5, 1.5],
    [0.1, 0, 0.2],
  ];
  const losses = [1.5, 0.2];
  const through = (x: readonly number[], name: string) =>
    [...values.get(`${name}.bias`)!].map((bias, o) =>
      x.reduce((sum, v, i) => sum + v * values.get(`${name}.weight`)![o * x.length + i]!, bias),
    );
  const erf = (x: number) => {
    let sum = 0; // its series, for arguments that are not large
    for (let n = 0, term = x; n < 80; n++, term *= -(x * x) / n) sum += term / (2 * n + 1);
    return (2 / Math.sqrt(Math.PI)) * sum;
  };
  const wanted = signals.map((row, i) => {
    const x = through(row, "in");
    const mean = x.reduce((a, b) => a + b, 0) / x.length;
    const variance = x.reduce((sum, v) => sum + (v - mean) ** 2, 0) / x.length;
    const normed = x.map(
      (v, k) =>
        ((v - mean) / Math.sqrt(variance + 1e-5)) * values.get("norm.weight")![k]! + values.get("norm.bias")![k]!,
    );
    const inner = through(normed, "up").map((v) => 0.5 * v * (1 + erf(v / Math.SQRT2)));
    const [u] = through(
      through(inner, "down").map((v, k) => v + x[k]!),
      "out",
    );
    return { u: u!, weighed: (0.5 * losses[i]!) / (u! ** 2 + 1e-8) + 0.5 * Math.log(1 + u! ** 2) };
  });
  const rec = new Recorder(profileOf(gpu));
  const given = { losses: rec.input("losses", [2]), signals: rec.watched(rec.input("signals", [2, 3])) };
  const { weighed, u } = weighedByUncertainty(rec, network, given.losses, given.signals);
  rec.output("weighed", weighed);
  rec.output("u", u);
  rec.backward([[weighed, rec.input("seed", [2])]]);
  expect(rec.incoming(given.signals)).toBeUndefined();
  const program = await Program.compile(gpu, rec);
  program.write("losses", Float32Array.from(losses));
  program.write("signals", Float32Array.from(signals.flat()));
  program.write("seed", Float32Array.of(1, 1));
  program.run({ accumulate: 0 });
  for (const [i, x] of (await program.read("u")).entries()) expect(x).toBeCloseTo(wanted[i]!.u, 5);
  for (const [i, x] of (await program.read("weighed")).entries()) expect(x).toBeCloseTo(wanted[i]!.weighed, 4);
  program.free();
  for (const parameter of network.values()) parameter.free();
});

/** One number that two tasks pull apart, (w - 1)^2 + 1 and 100 ((w + 1)^2 + 1): losses after training, and both u. */
async function pulled(balanced: boolean) {
  const w = new Parameter(gpu, "w", [1]);
  w.write(Float32Array.of(0));
  const network = uncertaintyNetwork(gpu, 2);
  const objective: Objective<number> = {
    name: "two tasks",
    key: () => "",
    counted: () => 2,
    size: () => 2,
    record(rec) {
      const constant = (...values: number[]) => rec.constant(Float32Array.from(values), [2], "constants");
      const away = square(rec, add(rec, constant(-1, 1), scale(rec, rec.parameter(w), 10)));
      const losses = mul(rec, add(rec, away, constant(1, 1)), constant(1, 100));
      const weights = constant(0.5, 0.5);
      const pick = (i: number) => dot(rec, losses, constant(i === 0 ? 1 : 0, i));
      const metrics = { small: pick(0), large: pick(1) };
      if (!balanced) return { backward: [[losses, weights]], metrics: { ...metrics, loss: dot(rec, losses, weights) } };
      const before = rec.constant(Float32Array.of(2, 0, 200, 0), [2, 2], "loss at w = 0, no divergence");
      const signals = joinColumns(rec, [before, stopGradient(rec, rec.reshape(losses, [2, 1]))]);
      const { weighed, u } = weighedByUncertainty(rec, network, losses, signals);
      const each = { first: dot(rec, u, constant(1, 0)), second: dot(rec, u, constant(0, 1)) };
      return { backward: [[weighed, weights]], metrics: { ...metrics, ...each, loss: dot(rec, weighed, weights) } };
    },
    fill() {},
  };
  const trainer = await Trainer.make({
    ...{ gpu, objective, seed: 1, clip: 0, decays: () => false },
    parameters: [w, ...(balanced ? network.values() : [])],
    optimizer: bindDefaults(adamw),
  });
  let last: Readonly<Record<string, number>> = {};
  for (let step = 1; step <= 200; step++) {
    const { result } = await trainer.step(step, 0.001, [0]);
    if (step === 200) last = (await result).metrics;
  }
  trainer.free();
  for (const parameter of [w, ...network.values()]) parameter.free();
  return last;
}

test("of two tasks with losses 1 : 100 the larger is held uncertain, and the smaller is learnt better", async () => {
  const equal = await pulled(false);
  const found = await pulled(true);
  expect(found.second!).toBeGreaterThan(2 * found.first!);
  expect(found.small!).toBeLessThan(0.8 * equal.small!);
});
