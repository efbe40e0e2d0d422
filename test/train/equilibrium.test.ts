/** Equilibrium networks, and the gradients that nudges find, beside those of all steps of the rest. */
import { describe, expect, test } from "bun:test";
import { stackExamples } from "../../src/data/batch.ts";
import type { Example } from "../../src/data/examples.ts";
import { bindDefaults } from "../../src/method/bind.ts";
import type { Json } from "../../src/model/architecture.ts";
import { Model } from "../../src/model/model.ts";
import { fillInputs, recordInputs } from "../../src/run/batch-programs.ts";
import { Programs } from "../../src/run/programs.ts";
import { stackedBatches } from "../../src/run/training/batch-source.ts";
import { crossEntropyObjective } from "../../src/run/training/cross-entropy.ts";
import { trainModel } from "../../src/run/training/train-model.ts";
import { Program, profileOf } from "../../src/tensor/program.ts";
import { Recorder } from "../../src/tensor/recorder.ts";
import { creditWork } from "../../src/train/credit.ts";
import { asymmetry, method as ep, layersOf } from "../../src/train/methods/credits/ep.ts";
import { method as adamw } from "../../src/train/methods/optimizers/adamw.ts";
import { method as sgd } from "../../src/train/methods/optimizers/sgd.ts";
import { sharedGpu } from "../support/gpu.ts";
import { normals } from "../support/random.ts";

const gpu = await sharedGpu();
const { signal } = new AbortController();
const CLASSES = 3;
const WIDTHS = [8, 6];

const examples: Example[] = Array.from({ length: 24 }, (_, i) => {
  const x = normals(i + 1, 5);
  x[i % CLASSES]! += 2;
  return { form: "example", x, shape: [5], label: i % CLASSES, extra: {}, group: 0, place: `rows:${i}` } as Example;
});
const net = (more: Json = {}) =>
  Model.fresh(
    gpu,
    {
      model_type: "equilibrium",
      input_size: 5,
      hidden_sizes: WIDTHS,
      num_labels: CLASSES,
      relaxation_steps: 40,
      ...more,
    },
    "net",
    { seed: 2 },
  );
const valuesOf = async (model: Model) => {
  const values: Record<string, Float32Array> = {};
  for (const { name, buffer, size } of model.trainable()) values[name] = await gpu.readFloats(buffer, size);
  return values;
};
type Weights = Record<string, Float32Array>;

/** Trains a net; gives the weights, and what was told of the last step. */
async function trained(model: Model, values: Json | undefined, steps: number, by: "adamw" | "sgd") {
  const work = values && creditWork({ ...bindDefaults(ep, values), method: ep }, model, 4);
  const { last } = await trainModel({
    model,
    source: stackedBatches(examples, ["rows"], { batchSize: examples.length, seed: 3 }),
    objective: work?.objective ?? crossEntropyObjective(model),
    optimizer: by === "sgd" ? bindDefaults(sgd) : bindDefaults(adamw),
    rate: () => (by === "sgd" ? 1 : 0.01),
    ...{ steps, seed: 5, signal },
  });
  return { weights: await valuesOf(model), metrics: last!.metrics };
}

/** The gradient on all examples, of a net with these weights. */
async function gradient(more: Json, values: Json | undefined, from?: Weights): Promise<Weights> {
  const model = await net(more);
  for (const parameter of model.trainable()) if (from) parameter.write(from[parameter.name]!);
  const before = await valuesOf(model);
  const { weights } = await trained(model, values, 1, "sgd");
  model.free();
  return Object.fromEntries(Object.entries(before).map(([name, x]) => [name, x.map((v, i) => v - weights[name]![i]!)]));
}

/** 1 less the cosine of two gradients of hidden layers. */
function apart(a: Weights, b: Weights): number {
  let [ab, aa, bb] = [0, 0, 0];
  for (const [name, x] of Object.entries(a))
    if (!name.startsWith("classifier"))
      for (const [i, v] of x.entries()) {
        ab += v * b[name]![i]!;
        aa += v * v;
        bb += b[name]![i]! ** 2;
      }
  return 1 - ab / Math.sqrt(aa * bb);
}

const dot = (w: Float32Array, row: number, u: ArrayLike<number>) => {
  let sum = 0;
  for (let k = 0; k < u.length; k++) sum += w[row * u.length + k]! * u[k]!;
  return sum;
};
const transposed = (w: Float32Array, rows: number, columns: number) =>
  Float32Array.from({ length: w.length }, (_, at) => w[(at % rows) * columns + Math.floor(at / rows)]!);

/** Where hidden layers rest for x, in f64. */
function restOf(w: Weights, x: ArrayLike<number>): readonly number[][] {
  const [h0, h1] = WIDTHS as [number, number];
  const back = w["feedback.0.weight"] ?? transposed(w["layers.1.weight"]!, h1, h0).slice();
  const sigmoid = (z: number) => 1 / (1 + Math.exp(-z));
  let [low, high]: number[][] = [Array<number>(h0).fill(0), Array<number>(h1).fill(0)];
  for (let step = 0; step < 500; step++) {
    low = low!.map((_, i) => sigmoid(dot(w["layers.0.weight"]!, i, x) + w["layers.0.bias"]![i]! + dot(back, i, high!)));
    high = high!.map((_, i) => sigmoid(dot(w["layers.1.weight"]!, i, low!) + w["layers.1.bias"]![i]!));
  }
  return [low!, high!];
}

describe("the network", () => {
  test.each([{}, { tied_feedback: false }])("%p comes to rest where f64 does", async (more) => {
    const model = await net(more);
    const batch = stackExamples(examples.slice(0, 3));
    const programs = new Programs(gpu);
    const { program } = await programs.get("rest", (rec) => {
      const { notes } = model.record(rec, recordInputs(rec, batch));
      for (const i of [1, 2]) rec.output(`hidden.${i}`, notes.get(`hidden.${i}`)!);
    });
    fillInputs(program, batch);
    program.run();
    const weights = await valuesOf(model);
    const rests = examples.slice(0, 3).map(({ x }: Example & { x?: Float32Array }) => restOf(weights, x!));
    for (const [i, width] of WIDTHS.entries()) {
      const found = await program.read(`hidden.${i + 1}`);
      for (const [row, rest] of rests.entries())
        for (let k = 0; k < width; k++) expect(Math.abs(found[row * width + k]! - rest[i]![k]!)).toBeLessThan(3e-6);
    }
    programs.free();
    model.free();
  });
});

describe("nudges", () => {
  test("with feedback by the transpose, more points of the circle come nearer to the gradient", async () => {
    const exact = await gradient({}, undefined);
    const found: number[] = [];
    for (const ep_points of [2, 4, 6])
      found.push(apart(exact, await gradient({}, { ep_points, ep_nudge: 1, ep_steps: 30 })));
    expect(found[0]).toBeLessThan(1e-3);
    expect(found[1]).toBeLessThan(found[0]! / 20);
    expect(found[2]).toBeLessThan(1e-6);
    // The head learns by its own gradient.
    const small = await gradient({}, { ep_points: 4, ep_nudge: 0.2, ep_steps: 40 });
    for (const [name, x] of Object.entries(exact))
      for (const [i, v] of x.entries()) expect(Math.abs(small[name]![i]! - v)).toBeLessThan(2e-5);
  });

  test("with other feedback they do not, until homeostasis draws it to the transpose", async () => {
    const more = { tied_feedback: false, hidden_sizes: WIDTHS };
    const values = { ep_steps: 40, ep_homeostasis: 0 };
    const first = apart(await gradient(more, undefined), await gradient(more, values));
    const after: number[] = [];
    for (const ep_homeostasis of [0, 10]) {
      const model = await net(more);
      const { weights, metrics } = await trained(model, { ep_homeostasis, ep_points: 2 }, 40, "adamw");
      model.free();
      after.push(apart(await gradient(more, undefined, weights), await gradient(more, values, weights)));
      expect("asymmetry" in metrics).toBe(ep_homeostasis > 0);
    }
    expect(first).toBeGreaterThan(1e-3);
    expect(after[1]).toBeLessThan(first / 3);
    expect(after[1]).toBeLessThan(after[0]! / 3);
  });
});

describe("homeostasis", () => {
  test.each([true, false])(
    "is half the squared asymmetry of the Jacobian per unit (tied: %p)",
    async (tied_feedback) => {
      const model = await net({ tied_feedback });
      const weights = await valuesOf(model);
      const [h0, h1] = WIDTHS as [number, number];
      const units = h0 + h1;
      const u = Float32Array.from({ length: units }, (_, i) => 0.1 + (0.8 * ((7 * i) % units)) / units);
      // One row for each unit: the mean over rows of sqrt(units) times a unit vector is the trace.
      const rec = new Recorder(profileOf(gpu));
      const rowsOf = (values: (row: number, unit: number) => number, from: number, width: number) =>
        rec.constant(
          Float32Array.from({ length: units * width }, (_, at) => values(Math.floor(at / width), from + (at % width))),
          [units, width],
          "rows",
        );
      const split = (values: (row: number, unit: number) => number) => [rowsOf(values, 0, h0), rowsOf(values, h0, h1)];
      const states = split((_, unit) => u[unit]!);
      const z = split((row, unit) => (row === unit ? Math.sqrt(units) : 0));
      rec.output("y", asymmetry(rec, layersOf(rec, model, 2, false), states, z));
      const program = await Program.compile(gpu, rec);
      program.run();
      const found = (await program.read("y"))[0]!;
      const back = weights["feedback.0.weight"] ?? transposed(weights["layers.1.weight"]!, h1, h0);
      let squares = 0;
      for (let i = 0; i < h0; i++)
        for (let j = 0; j < h1; j++) {
          const roots = Math.sqrt(u[i]! * (1 - u[i]!) * u[h0 + j]! * (1 - u[h0 + j]!));
          squares += 2 * (roots * (back[i * h1 + j]! - weights["layers.1.weight"]![j * h0 + i]!)) ** 2;
        }
      expect(Math.abs(found - squares / 2 / units)).toBeLessThan(1e-6);
      if (tied_feedback) expect(squares).toBe(0);
      else expect(squares).toBeGreaterThan(0.1);
      program.free();
      model.free();
    },
  );
});
