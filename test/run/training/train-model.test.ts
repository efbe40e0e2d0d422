/** Training of a model in memory: sequences of trainings that resume, ends, warnings, and what is refused. */
import { expect, test } from "bun:test";
import { stackExamples } from "../../../src/data/batch.ts";
import type { Example } from "../../../src/data/examples.ts";
import { bindDefaults } from "../../../src/method/bind.ts";
import { Model } from "../../../src/model/model.ts";
import { sequenceBatches, stackedBatches } from "../../../src/run/training/batch-source.ts";
import { crossEntropyObjective } from "../../../src/run/training/cross-entropy.ts";
import { Training, trainModel } from "../../../src/run/training/train-model.ts";
import { copyState, type SavedTraining } from "../../../src/run/training/training-state.ts";
import { WeightAverage } from "../../../src/run/training/weight-average.ts";
import { method as adamw } from "../../../src/train/methods/optimizers/adamw.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { normals } from "../../support/random.ts";
import { TINY_TEXT } from "../../support/tiny-models.ts";

const gpu = await sharedGpu();
const { signal } = new AbortController();

const task = (seed: number): Example[] =>
  Array.from({ length: 12 }, (_, i) => {
    const x = normals(seed + i, 4);
    x[i % 3]! += 3;
    return {
      form: "example",
      x,
      shape: [4],
      label: (i + seed) % 3,
      extra: {},
      group: 0,
      place: `task${seed}:${i}`,
    } as Example;
  });

const net = () =>
  Model.fresh(gpu, { model_type: "mlp", input_size: 4, hidden_sizes: [6], num_labels: 3 }, "net", { seed: 1 });
const valuesOf = (model: Model) =>
  Promise.all(model.trainable().map(({ buffer, size }) => gpu.readFloats(buffer, size)));

/** Options of a training of one task. */
const on = (model: Model, seed: number, steps = 6) => ({
  model,
  source: stackedBatches(task(seed), ["rows"], { batchSize: 5, seed }),
  objective: crossEntropyObjective(model),
  optimizer: bindDefaults(adamw),
  rate: () => 0.01,
  steps,
  seed,
  updates: [new WeightAverage(gpu, model.trainable(), { from: 3 })],
});

/** What a sequence of trainings saves: which task, the weights, and the state of the training that is under way. */
interface Place {
  readonly task: number;
  readonly weights: readonly Float32Array[];
  readonly training: SavedTraining;
}

/** Trains on three tasks in a row; leaves off in the middle of a task where `stop` says so. */
async function sequence(
  stop?: { task: number; step: number },
  from?: Place,
): Promise<{ place?: Place; end: Float32Array[] }> {
  const model = await net();
  for (const [i, parameter] of model.trainable().entries()) if (from) parameter.write(from.weights[i]!);
  for (let index = from?.task ?? 0; index < 3; index++) {
    const training = await Training.make(on(model, 10 * index));
    if (from?.task === index) await training.load(from.training);
    const abort = new AbortController();
    await training.run({
      signal: abort.signal,
      save: async (step) => {
        if (stop?.task === index && stop.step === step) abort.abort();
      },
      saveEvery: 1,
    });
    if (abort.signal.aborted) {
      const place = { task: index, weights: await valuesOf(model), training: await copyState(gpu, training.state()) };
      await training.free();
      model.free();
      return { place, end: [] };
    }
    await training.free();
  }
  const end = await valuesOf(model);
  model.free();
  return { end };
}

test.each([
  { task: 0, step: 2 },
  { task: 1, step: 4 },
  { task: 2, step: 0 },
])("a sequence of trainings resumes within one to the byte: %o", async (stop) => {
  const whole = await sequence();
  const { place } = await sequence(stop);
  expect(place!.training.progress.step).toBe(stop.step);
  const resumed = await sequence(undefined, place);
  expect(resumed.end).toEqual(whole.end);
});

test("all memory is given back", async () => {
  const model = await net();
  await trainModel({ ...on(model, 1), signal });
  const lent = gpu.pool.lent;
  await trainModel({ ...on(model, 1), signal });
  expect(gpu.pool.lent).toBe(lent);
  model.free();
});

test("a caller may end a training, and hears every step before it does", async () => {
  const model = await net();
  const heard: number[] = [];
  const { step, last } = await trainModel({
    ...on(model, 1, 100),
    signal,
    onStep: (result) => heard.push(result.step),
    after: async (done) => done === 4,
  });
  expect([step, last!.step]).toEqual([4, 4]);
  expect(heard).toEqual([1, 2, 3, 4]);
  model.free();
});

test("the state of another training is refused", async () => {
  const model = await net();
  const training = await Training.make(on(model, 1));
  const saved = await copyState(gpu, training.state());
  await training.free();
  const { updates, ...plain } = on(model, 1);
  for (const rule of updates) rule.free();
  const { read, ...rest } = saved;
  const without = { ...rest, read: async (name: string) => (name.endsWith("exp_avg") ? undefined : read(name)) };
  await expect(trainModel({ ...plain, signal, from: without })).rejects.toThrow(
    /^memory holds no net|^memory holds no \S+exp_avg, expected/,
  );
  const stateless = { ...saved, progress: { ...saved.progress, states: {} } };
  await expect(trainModel({ ...on(model, 1), signal, from: stateless })).rejects.toThrow(
    "memory holds no state of average",
  );
  const other = stackedBatches(task(2).slice(0, 7), ["rows"], { batchSize: 5, seed: 1 });
  await expect(trainModel({ ...on(model, 1), source: other, signal, from: saved })).rejects.toThrow(
    "memory was saved with",
  );
  model.free();
});

test("a loss that is not finite stops, with the model, the step, the rows and the gradients", async () => {
  const model = await net();
  const bad = { ...task(1)[0]!, x: Float32Array.of(Number.NaN, 0, 0, 0), place: "bad.jsonl:7" };
  const source = stackedBatches([bad], ["rows"], { batchSize: 1, seed: 0 });
  const training = trainModel({ ...on(model, 1), source, signal, name: "net", advice: "lower --relearn-lr" });
  await expect(training).rejects.toThrow(/^net: step 1: loss is NaN, on bad.jsonl:7; largest gradients: \S+ NaN/);
  model.free();
});

test("steps whose loss counts no token warn once", async () => {
  const model = await Model.fresh(gpu, TINY_TEXT.llama!, "tiny", { seed: 1 });
  const ids = Int32Array.of(1, 2, 3);
  const sequences = ["a:1", "a:2"].map((place) => ({ ids, labels: new Int32Array(3).fill(-100), group: 0, place }));
  const group = { name: "a", rows: 2, sequences: 2, tokens: 6, counted: 0, lengths: Int32Array.of(3, 3) };
  const before = await valuesOf(model);
  const warnings: string[] = [];
  await trainModel({
    model,
    source: sequenceBatches({ sequences, groups: [group] }, { batchSize: 2, seed: 0, shuffle: false }),
    objective: crossEntropyObjective(model),
    optimizer: bindDefaults(adamw, { weight_decay: 0 }),
    rate: () => 0.01,
    steps: 3,
    seed: 0,
    signal,
    warn: (text) => warnings.push(text),
  });
  expect(warnings).toEqual([
    "step 1 learned nothing: its loss counts no token, on a:1, a:2; raise --max-length, or leave out rows without an answer",
  ]);
  expect(await valuesOf(model)).toEqual(before);
  model.free();
});

test("held-out losses are measured once a step for all who ask, and logged", async () => {
  const model = await net();
  const events: Record<string, unknown>[] = [];
  const asked: number[][] = [];
  await trainModel({
    ...on(model, 1, 4),
    heldOut: [{ name: "held", rows: 12, batches: [stackExamples(task(50))] }],
    controllers: [1, 2].map((i) => ({
      name: `listener ${i}`,
      due: (step: number) => step === 2,
      after: async (step: number, held?: { losses(): Promise<readonly { loss: number }[]> }) => {
        asked.push([step, (await held!.losses())[0]!.loss]);
      },
      state: () => null,
      load: () => {},
    })),
    signal,
    evalEvery: 2,
    evaluate: async (step, losses) => asked.push([step, losses[0]!.loss]) === 0,
    log: { event: (event, fields) => void events.push({ event, ...fields }) },
  });
  expect(asked.map(([step]) => step)).toEqual([2, 2, 2, 4]);
  expect(new Set(asked.slice(0, 3).map(([, loss]) => loss)).size).toBe(1);
  const logged = events.filter(({ event }) => event === "eval").map(({ step, group }) => [step, group]);
  expect(logged).toEqual([
    [2, "held"],
    [2, undefined],
    [4, "held"],
    [4, undefined],
  ]);
  model.free();
});
