/**
 * A sampler, a smoothing and an average in one training: each acts, and a training of all three resumes to the byte.
 */
import { expect, test } from "bun:test";
import { groupLosses } from "../../../src/curriculum/losses.ts";
import { method as progress } from "../../../src/curriculum/methods/samplers/progress.ts";
import { curriculumObjective } from "../../../src/curriculum/objective.ts";
import { MixtureSource, rowsOf } from "../../../src/curriculum/source.ts";
import { stackExamples } from "../../../src/data/batch.ts";
import type { Example } from "../../../src/data/examples.ts";
import type { Json } from "../../../src/json.ts";
import { bindDefaults } from "../../../src/method/bind.ts";
import { Model } from "../../../src/model/model.ts";
import type { Controller } from "../../../src/run/training/controller.ts";
import { Training, trainModel } from "../../../src/run/training/train-model.ts";
import { copyState } from "../../../src/run/training/training-state.ts";
import type { UpdateRule } from "../../../src/run/training/update-rule.ts";
import { WeightAverage } from "../../../src/run/training/weight-average.ts";
import { method as adamw } from "../../../src/train/methods/optimizers/adamw.ts";
import { method as sam } from "../../../src/unlearn/methods/smoothings/sam.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { normals } from "../../support/random.ts";

const gpu = await sharedGpu();
const { signal } = new AbortController();
const STEPS = 9;
const NAMES = ["easy", "hard"];

/** Two groups of points: one whose label shows, and one whose label does not. */
const examples = (seed: number, count: number): Example[] =>
  Array.from({ length: count }, (_, i) => {
    const x = normals(seed + i, 4);
    const [group, label] = [i % 2, (i >> 1) % 3];
    if (group === 0) x[label]! += 4;
    return { form: "example", x, shape: [4], label, extra: {}, group, place: `${NAMES[group]}:${i}` } as Example;
  });
const trained = rowsOf(NAMES, examples(100, 40), 0);
const held = NAMES.map((name, group) => ({
  name,
  rows: 24 / NAMES.length,
  batches: [stackExamples(examples(900, 24).filter((example) => example.group === group))],
}));

type Part = "sampler" | "smoothing" | "average";

/** What follows the sampler's mixtures. */
function samplerController(source: MixtureSource): Controller & { readonly mixtures: (readonly number[])[] } {
  const values = bindDefaults(progress, { every: 2, epsilon: 0.1, tau: 0.05 }).values;
  const sampler = progress.make({ groups: trained.counts, steps: STEPS, seed: 0, values });
  const mixtures: (readonly number[])[] = [];
  const enter = () => {
    source.probs = sampler.segment().probs;
    mixtures.push(source.probs);
  };
  const hear = async (step: number, losses: Promise<number[]>) =>
    sampler.update({ step, drawn: source.drawn, losses: await losses });
  return {
    name: "sampler",
    mixtures,
    async begin(losses) {
      await hear(0, groupLosses(losses!, NAMES));
      enter();
    },
    due: (step) => step % 2 === 0,
    async after(step, losses) {
      await hear(step, groupLosses(losses!, NAMES));
      enter();
    },
    state: () => ({ sampler: sampler.state(), probs: [...source.probs] }),
    load: (state) => {
      const saved = state as { sampler: Json; probs: number[] };
      sampler.load(saved.sampler);
      source.probs = saved.probs;
    },
  };
}

/** A smoothing of the whole gradient, not of that of a forget loss. */
function smoothing(model: Model): UpdateRule {
  const { values } = bindDefaults(sam, { rho: 0.3 });
  const setup = { gpu, parameters: model.trainable(), values, seed: 0, steps: STEPS };
  const { parts: _, ...rule } = sam.rule(setup);
  return rule;
}

/** A training with some of the three, and what it has to show. */
async function setUp(parts: readonly Part[]) {
  const json = { model_type: "mlp", input_size: 4, hidden_sizes: [8], num_labels: 3 };
  const model = await Model.fresh(gpu, json, "net", { seed: 1 });
  const source = new MixtureSource(trained, { batchSize: 4, seed: 3, shuffle: true });
  const sampler = samplerController(source);
  const events: Record<string, unknown>[] = [];
  const options = {
    model,
    source,
    objective: curriculumObjective({
      model,
      names: NAMES,
      taskLoss: "token-mean",
      sampleWeight: "uniform",
      focus: 0,
      recompute: false,
      groupWeights: () => undefined,
    }),
    optimizer: bindDefaults(adamw),
    rate: () => 0.02,
    steps: STEPS,
    seed: 5,
    heldOut: held,
    controllers: parts.includes("sampler") ? [sampler] : [],
    updates: [
      ...(parts.includes("smoothing") ? [smoothing(model)] : []),
      ...(parts.includes("average") ? [new WeightAverage(gpu, model.trainable(), { decay: 0.6 })] : []),
    ],
  };
  const run = { signal, log: { event: (event: string, fields = {}) => void events.push({ event, ...fields }) } };
  const weights = async () => {
    const all = await Promise.all(model.trainable().map(({ buffer, size }) => gpu.readFloats(buffer, size)));
    return all.flatMap((values) => [...values]);
  };
  const losses = () => events.filter(({ event }) => event === "step").map(({ loss }) => loss as number);
  return { model, source, sampler, options, run, events, weights, losses };
}

async function trainedWith(...parts: Part[]) {
  const one = await setUp(parts);
  const { step } = await trainModel({ ...one.options, ...one.run });
  expect(step).toBe(STEPS);
  const found = { weights: await one.weights(), losses: one.losses(), drawn: one.source.drawn, events: one.events };
  one.model.free();
  return { ...found, mixtures: one.sampler.mixtures };
}

test("a sampler, a smoothing and an average act together", async () => {
  const all = await trainedWith("sampler", "smoothing", "average");
  const withoutAverage = await trainedWith("sampler", "smoothing");
  const withoutSmoothing = await trainedWith("sampler", "average");
  const withoutSampler = await trainedWith("smoothing", "average");

  // The sampler's mixture moves, and with it what is drawn.
  expect(all.mixtures.length).toBe(1 + Math.floor(STEPS / 2));
  expect(all.mixtures[0]).toEqual([0.5, 0.5]);
  expect(new Set(all.mixtures.map((probs) => probs[0])).size).toBeGreaterThan(2);
  expect(all.drawn).not.toEqual(withoutSampler.drawn);
  // What it hears is in the log, once a step.
  const heard = all.events.filter(({ event, group }) => event === "eval" && group === "hard");
  expect(heard.map(({ step }) => step)).toEqual([0, 2, 4, 6, 8]);

  // The smoothing moves the weights by other gradients from the first step on.
  expect(all.losses[0]).toBe(withoutSmoothing.losses[0]!);
  expect(all.losses[1]).not.toBe(withoutSmoothing.losses[1]!);

  // The average changes no step and replaces the weights at the end.
  expect(withoutAverage.losses).toEqual(all.losses);
  expect(withoutAverage.drawn).toEqual(all.drawn);
  expect(withoutAverage.weights).not.toEqual(all.weights);
});

test("the average of all three is that of the weights after every step", async () => {
  const one = await setUp(["sampler", "smoothing"]);
  let expected: number[] | undefined;
  const after = async () => {
    const now = await one.weights();
    expected = expected ? expected.map((x, i) => 0.6 * x + 0.4 * now[i]!) : now;
    return false;
  };
  await trainModel({ ...one.options, ...one.run, after });
  const { weights } = await trainedWith("sampler", "smoothing", "average");
  const error = weights.reduce((most, x, i) => Math.max(most, Math.abs(x - expected![i]!)), 0);
  expect(error).toBeLessThan(1e-6);
  one.model.free();
});

test("a training of all three that is interrupted resumes to the byte", async () => {
  const whole = await trainedWith("sampler", "smoothing", "average");
  const first = await setUp(["sampler", "smoothing", "average"]);
  const stop = new AbortController();
  const training = await Training.make(first.options);
  const interrupted = await training.run({
    ...first.run,
    signal: stop.signal,
    onStep: ({ step }) => step === 5 && stop.abort(),
  });
  expect(interrupted.step).toBeLessThan(STEPS);
  const saved = await copyState(gpu, training.state());
  const copies = await Promise.all(first.model.trainable().map(({ buffer, size }) => gpu.readFloats(buffer, size)));
  await training.free();
  first.model.free();

  const second = await setUp(["sampler", "smoothing", "average"]);
  for (const [i, parameter] of second.model.trainable().entries()) parameter.write(copies[i]!);
  // As it would come from a file.
  const from = { ...saved, progress: JSON.parse(JSON.stringify(saved.progress)) };
  await trainModel({ ...second.options, ...second.run, from });
  expect(await second.weights()).toEqual(whole.weights);
  expect([...first.losses(), ...second.losses()]).toEqual(whole.losses);
  second.model.free();
});
