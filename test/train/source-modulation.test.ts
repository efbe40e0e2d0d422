/** Sources of an input: their shares of logits, and gradients that are modulated by source, against float64. */
import { expect, test } from "bun:test";
import { stackExamples } from "../../src/data/batch.ts";
import { strengthOf } from "../../src/evaluate/methods/probes/competition.ts";
import { bindDefaults } from "../../src/method/bind.ts";
import { Model } from "../../src/model/model.ts";
import { keptSources, parseSources, sourceShares } from "../../src/run/tracing/sources.ts";
import { stackedBatches } from "../../src/run/training/batch-source.ts";
import { crossEntropyObjective } from "../../src/run/training/cross-entropy.ts";
import { SourceModulation } from "../../src/run/training/source-modulation.ts";
import { Training } from "../../src/run/training/train-model.ts";
import { copyState } from "../../src/run/training/training-state.ts";
import { joinColumns, splitColumns } from "../../src/tensor/ops/columns.ts";
import { Program, profileOf } from "../../src/tensor/program.ts";
import { Recorder } from "../../src/tensor/recorder.ts";
import { method as adamw } from "../../src/train/methods/optimizers/adamw.ts";
import { sharedGpu } from "../support/gpu.ts";
import { runOp } from "../support/program.ts";
import { normals } from "../support/random.ts";

const gpu = await sharedGpu();
const SOURCES = parseSources(["a=0-1", "b=2-4"], 5, "--agm-sources");
const [ROWS, CLASSES, SIZE] = [7, 3, 5];
const XS = Array.from({ length: ROWS }, (_, i) => normals(20 + i, SIZE));
const LABELS = XS.map((_, i) => i % CLASSES);
const BATCH = stackExamples(XS.map((x, i) => ({ x, shape: [SIZE], label: LABELS[i]! })));
const near = (a: ArrayLike<number>, b: ArrayLike<number>, error = 1e-5) => {
  expect(a.length).toBe(b.length);
  for (let i = 0; i < a.length; i++) expect(Math.abs(a[i]! - b[i]!)).toBeLessThan(error);
};

/** Shapley values over all orders, of a function of sets with f(nothing) = 0. */
function shapley(count: number, f: (kept: number) => number): number[] {
  const orders = (left: readonly number[]): number[][] =>
    left.length === 0 ? [[]] : left.flatMap((x) => orders(left.filter((y) => y !== x)).map((rest) => [x, ...rest]));
  const all = orders(Array.from({ length: count }, (_, i) => i));
  const shares = Array<number>(count).fill(0);
  for (const order of all) {
    let kept = 0;
    for (const m of order) {
      const before = kept === 0 ? 0 : f(kept);
      kept |= 1 << m;
      shares[m]! += (f(kept) - before) / all.length;
    }
  }
  return shares;
}

test.each([2, 3, 4])(
  "shares of %i sources are their mean gain over all orders, and sum to the whole",
  async (count) => {
    const values = normals(count, 2 ** count);
    const { outputs } = await runOp(gpu, {
      inputs: { values: { shape: [1, 2 ** count], data: values } },
      build: (rec, { values: all }) => {
        const one = splitColumns(rec, all!, Array(2 ** count).fill(1));
        const shares = sourceShares(rec, count, one[2 ** count - 1]!, (kept) => one[kept]!);
        return joinColumns(rec, shares);
      },
    });
    const wanted = shapley(count, (kept) => values[kept]!);
    near(outputs.y!, wanted);
    expect(wanted.reduce((a, b) => a + b, 0)).toBeCloseTo(values[2 ** count - 1]!, 6);
  },
);

/** A linear model, whose shares are W_m x_m + b / 2, its objective, and what a run of it gives. */
async function linear(alpha: number, before?: readonly number[]) {
  const model = await Model.fresh(
    gpu,
    { model_type: "mlp", input_size: SIZE, hidden_sizes: [], num_labels: CLASSES },
    "m",
    { seed: 4 },
  );
  const bias = Float32Array.from(normals(9, CLASSES));
  model.parameters.get("classifier.bias")!.write(bias);
  const weight = await gpu.readFloats(model.parameters.get("classifier.weight")!.buffer, CLASSES * SIZE);
  const modulation = new SourceModulation(gpu, SOURCES, alpha);
  if (before) modulation.kept[0].write(Float32Array.from(before));
  const objective = crossEntropyObjective(model, { modulation });
  const rec = new Recorder(profileOf(gpu));
  const { backward, metrics } = objective.record(rec, BATCH, "");
  for (const [name, x] of Object.entries(metrics)) rec.output(name, x);
  rec.backward(backward);
  const program = await Program.compile(gpu, rec);
  objective.fill(program, BATCH, ROWS, "");
  program.run({ accumulate: 0 });
  const told: Record<string, number> = {};
  for (const name of Object.keys(metrics)) told[name] = (await program.read(name))[0]!;
  const gradient = async (name: string) => {
    const parameter = model.parameters.get(name)!;
    return gpu.readFloats(parameter.gradient, parameter.size);
  };
  const found = {
    ...{ told, weight, bias },
    gradient: { weight: await gradient("classifier.weight"), bias: await gradient("classifier.bias") },
    scores: await gpu.readFloats(modulation.kept[0].buffer, 3),
  };
  program.free();
  modulation.free();
  model.free();
  return found;
}

/** Of the linear model in float64, with factors of the sources. */
function wanted({ weight, bias }: { weight: Float32Array; bias: Float32Array }, factors?: readonly number[]) {
  const softmax = (z: readonly number[]) => {
    const sum = z.reduce((total, x) => total + Math.exp(x), 0);
    return z.map((x) => Math.exp(x) / sum);
  };
  const share = (x: Float32Array, m: number) =>
    Array.from(bias, (b, c) => {
      const { first, last } = SOURCES[m]!;
      let value = b / 2;
      for (let i = first; i <= last; i++) value += weight[c * SIZE + i]! * x[i]!;
      return value;
    });
  const scores = SOURCES.map(
    (_, m) => XS.reduce((sum, x, i) => sum - Math.log(softmax(share(x, m))[LABELS[i]!]!), 0) / ROWS,
  );
  const by = { weight: new Float64Array(CLASSES * SIZE), bias: new Float64Array(CLASSES) };
  for (const [i, x] of XS.entries()) {
    const both = share(x, 0).map((value, c) => value + share(x, 1)[c]!);
    for (const [c, p] of softmax(both).entries()) {
      const slope = (p - (c === LABELS[i] ? 1 : 0)) / ROWS;
      for (const [m, { first, last }] of SOURCES.entries()) {
        const factor = factors?.[m] ?? 1;
        for (let k = first; k <= last; k++) by.weight[c * SIZE + k]! += factor * slope * x[k]!;
        by.bias[c]! += (factor * slope) / 2;
      }
    }
  }
  return { scores, by };
}

test("the first step is plain, and its scores are remembered", async () => {
  const found = await linear(0.7);
  const { scores, by } = wanted(found);
  near([found.told.factor_a!, found.told.factor_b!], [1, 1], 1e-6);
  near([found.told.score_a!, found.told.score_b!], scores);
  near(found.scores, [...scores, 1]);
  near(found.gradient.weight, by.weight);
  near(found.gradient.bias, by.bias);
});

test("later, each source's gradient is multiplied by its factor, and the loss is as it was", async () => {
  // Two earlier steps, in which a did better and b worse than now.
  const plain = await linear(0.7);
  const known = [0.9, 3.1, 2];
  const found = await linear(0.7, known);
  const { scores } = wanted(found);
  const ratios = (s: readonly number[]) => s.map((x) => Math.exp(2 * ((s[0]! + s[1]!) / 2 - x)));
  const [before, now] = [ratios([known[0]! / 2, known[1]! / 2]), ratios(scores)];
  const factors = before.map((r, m) => Math.exp(Math.max(-10, Math.min(10, 0.7 * (r - now[m]!)))));
  expect(Math.abs(factors[0]! - 1)).toBeGreaterThan(0.1);
  near([found.told.factor_a!, found.told.factor_b!], factors, 1e-4);
  const { by } = wanted(found, factors);
  near(found.gradient.weight, by.weight, 1e-4);
  near(found.gradient.bias, by.bias, 1e-4);
  near(
    found.scores,
    known.map((sum, m) => sum + (scores[m] ?? 1)),
  );
  expect(found.told.loss).toBeCloseTo(plain.told.loss!, 6);
});

test("a training that resumes goes on with the scores of its steps, to the same bytes", async () => {
  const json = { model_type: "mlp", input_size: SIZE, hidden_sizes: [4], num_labels: CLASSES };
  const examples = XS.map((x, i) => ({
    ...{ form: "example" as const, x, shape: [SIZE], label: LABELS[i]!, extra: {}, group: 0, place: `${i}` },
  }));
  const valuesOf = (model: Model) =>
    Promise.all(model.trainable().map(({ buffer, size }) => gpu.readFloats(buffer, size)));
  /** Trains to the end, or to a step whose state and weights it gives; from such a place. */
  const trained = async (stop?: number, from?: Awaited<ReturnType<typeof place>>) => {
    const model = await Model.fresh(gpu, json, "m", { seed: 4 });
    for (const [i, parameter] of model.trainable().entries()) if (from) parameter.write(from.weights[i]!);
    const modulation = new SourceModulation(gpu, SOURCES, 2);
    const training = await Training.make({
      ...{ model, objective: crossEntropyObjective(model, { modulation }), updates: [modulation], steps: 6, seed: 1 },
      source: stackedBatches(examples, ["rows"], { batchSize: 3, seed: 1 }),
      ...{ optimizer: bindDefaults(adamw), rate: () => 0.05 },
    });
    if (from) await training.load(from.training);
    const { signal } = new AbortController();
    await training.run({ signal, ...(stop ? { after: async (step: number) => step === stop } : {}) });
    const found = await place(model, training);
    await training.free();
    model.free();
    return found;
  };
  const place = async <B>(model: Model, training: Training<B>) => ({
    ...{ weights: await valuesOf(model), training: await copyState(gpu, training.state()) },
  });
  const whole = await trained();
  const half = await trained(3);
  expect(half.weights).not.toEqual(whole.weights);
  expect((await trained(undefined, half)).weights).toEqual(whole.weights);
  // The scores are a part of it.
  const forgotten = {
    ...half.training,
    read: async (name: string) => (name.startsWith("scores") ? new Uint8Array(12) : half.training.read(name)),
  };
  expect((await trained(undefined, { ...half, training: forgotten })).weights).not.toEqual(whole.weights);
});

test("sources that are left out are zeros", async () => {
  const { outputs } = await runOp(gpu, {
    inputs: { x: { shape: [2, 5], data: Float32Array.from({ length: 10 }, (_, i) => i + 1) } },
    build: (rec, { x }) => keptSources(rec, x!, SOURCES, 0b10),
  });
  expect([...outputs.y!]).toEqual([0, 0, 3, 4, 5, 0, 0, 8, 9, 10]);
});

test("strength is the distance of centred logits, in lengths of the lone model's", () => {
  const f = Float64Array.of(1, -1, 3, 5);
  expect(
    strengthOf(
      f.map((x) => x + 7),
      f,
      2,
    ),
  ).toBeCloseTo(0, 12);
  expect(
    strengthOf(
      f.map((x) => 3 * x),
      f,
      2,
    ),
  ).toBeCloseTo(2, 12);
  expect(strengthOf(f, new Float64Array(4).fill(2), 2)).toBeUndefined();
});

test.each([
  [["a=0-1", "b=2-3"], "number 4 of a row is of no source"],
  [["a=0-2", "b=2-4"], "number 2 of a row is of several sources"],
  [["a=0-4"], "takes 2 to 4 sources, found 1"],
  [["a=0-1", "b=2-7"], "a row has the numbers 0 to 4"],
  [["a=0-1", "a=2-4"], "two of --agm-sources are named a"],
  [["a", "b=2-4"], "takes NAME=FIRST-LAST"],
])("%p is refused", (given, message) => {
  expect(() => parseSources(given, 5, "--agm-sources")).toThrow(message);
});
