/** Small classifiers whose outputs are mixed: an accurate and a robust one, and two that were pre-trained apart. */
import { stackExamples } from "../../src/data/batch.ts";
import type { Split } from "../../src/data/task.ts";
import { method as glyphs } from "../../src/data/tasks/glyphs.ts";
import { DISTILL_LAWS, type DistillMethod, defineDistillation } from "../../src/distill/contract.ts";
import { method as kd } from "../../src/distill/methods/kd.ts";
import { method as logitEnsemble } from "../../src/distill/methods/logit-ensemble.ts";
import { method as smoothMix } from "../../src/distill/methods/smooth-mix.ts";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { sameClaim } from "../../src/method/laws.ts";
import { Model } from "../../src/model/model.ts";
import { crossEntropy } from "../../src/tensor/ops/cross-entropy.ts";
import { add } from "../../src/tensor/ops/elementwise.ts";
import {
  accuracy,
  type Beliefs,
  beliefs,
  copyOf,
  learn,
  mean,
  type Point,
  pointsOf,
  taskPoints,
} from "./distill-support.ts";

const CLASSES = 10;
const JSON_OF = (width: number) => ({
  model_type: "mlp",
  input_size: 81,
  hidden_sizes: [width],
  num_labels: CLASSES,
});
const digits = (seed: number, count: number, noise: number, split: Split) =>
  taskPoints(glyphs as never, seed, count, { canvas: 9, shift: 1, noise }, split);
const fresh = (gpu: Gpu, width: number, seed: number) => Model.fresh(gpu, JSON_OF(width), "net", { seed });

/** (1 - a) of the first's probabilities and a of the second's. */
const blended = (first: Beliefs, second: Beliefs, a: number): Beliefs => ({
  targets: first.targets,
  p: first.p.map((row, i) => row.map((x, j) => (1 - a) * x + a * second.p[i]![j]!)),
});

/** What the mean of several models' logits believes. */
function averaged(all: readonly Beliefs[]): Beliefs {
  const p = all[0]!.p.map((row, i) => {
    const raw = row.map((_, j) => Math.exp(mean(all.map((each) => Math.log(Math.max(each.p[i]![j]!, 1e-300))))));
    const total = raw.reduce((a, b) => a + b);
    return raw.map((x) => x / total);
  });
  return { targets: all[0]!.targets, p };
}

/** Accuracy on clean and on noisy digits. */
type Scores = readonly [clean: number, noisy: number];

/** How far a noisy accuracy lies above the line from one end to the other at its clean accuracy; the most of a list. */
const aboveLine = (list: readonly Scores[], [g, h]: readonly [Scores, Scores]): number =>
  Math.max(...list.map(([c, n]) => n - (g[1] + ((g[0] - c) / (g[0] - h[0])) * (h[1] - g[1]))));

const BETWEEN = [0.2, 0.4, 0.5, 0.6, 0.7, 0.8];

/**
 * A model of clean digits, and one that goes on from it with noisy ones: the two, their mixtures over a sweep of
 * weights, means of their weights, and a student of the mixture.
 */
export async function accurateAndRobust(gpu: Gpu, seed: number) {
  const [clean, noisy] = [digits(seed, 2000, 0.1, "train"), digits(seed, 2000, 0.7, "validation")];
  const tests = [stackExamples(digits(seed, 1000, 0.1, "test")), stackExamples(digits(seed, 1000, 0.7, "test"))];
  const lesson = { method: kd as DistillMethod, steps: 300, lr: 0.01, seed };
  const accurate = await fresh(gpu, 48, seed);
  await learn(accurate, { ...lesson, data: pointsOf(clean, 64, seed) });
  const robust = await copyOf(accurate);
  await learn(robust, { ...lesson, data: pointsOf(noisy, 64, seed) });
  const judge = async (model: Model) => [await beliefs(model, tests[0]!), await beliefs(model, tests[1]!)] as const;
  const [g, h] = [await judge(accurate), await judge(robust)];
  const both = ([clean, noisy]: readonly [Beliefs, Beliefs]): Scores => [accuracy(clean), accuracy(noisy)];
  const mix = (a: number) => both([blended(g[0], h[0], a), blended(g[1], h[1], a)]);
  const middle = await copyOf(accurate);
  const weights: Scores[] = [];
  for (const a of BETWEEN) {
    for (const [name, { buffer, size }] of accurate.parameters) {
      const [one, other] = [buffer, robust.parameters.get(name)!.buffer];
      const values = await gpu.readFloats(other, size);
      middle.parameters.get(name)!.write((await gpu.readFloats(one, size)).map((x, i) => (1 - a) * x + a * values[i]!));
    }
    weights.push(both(await judge(middle)));
  }
  const student = await fresh(gpu, 48, seed + 9);
  const data = pointsOf([...clean, ...noisy], 64, seed + 1);
  const settings = { alpha: 0.7 };
  await learn(student, { ...lesson, method: smoothMix as never, teachers: [accurate, robust], settings, data });
  const [first, last, taught] = [both(g), both(h), both(await judge(student))];
  for (const model of [accurate, robust, middle, student]) model.free();
  const above = aboveLine(BETWEEN.map(mix), [first, last]);
  return {
    "accurate, clean": first[0],
    "accurate, noisy": first[1],
    "robust, clean": last[0],
    "robust, noisy": last[1],
    "mixed, above the line": above,
    "mixed − weights, above the line": above - aboveLine(weights, [first, last]),
    "student − accurate, noisy": taught[1] - first[1],
    "student − robust, clean": taught[0] - last[0],
  };
}

/** Cross-entropy of the logits plus the log frequencies of classes, which a teacher says: logit adjustment, tau 1. */
const adjusted = defineDistillation({
  name: "adjusted",
  title: "",
  about: "",
  cite: "",
  laws: sameClaim(DISTILL_LAWS, "a loss of this experiment"),
  options: {},
  rows: (rec, { student, teachers, targets }) => crossEntropy(rec, add(rec, student, teachers[0]!), targets),
});

/** A model that gives every input the same logits. */
async function constant(gpu: Gpu, logits: readonly number[]): Promise<Model> {
  const model = await fresh(gpu, 1, 0);
  for (const [name, parameter] of model.parameters)
    parameter.write(
      parameter.size === CLASSES && name.endsWith("bias")
        ? Float32Array.from(logits)
        : new Float32Array(parameter.size),
    );
  return model;
}

/** The first rows of every class, as many as `counts` says. */
function counted(points: readonly Point[], counts: readonly number[]): Point[] {
  const left = [...counts];
  return points.filter(({ label }) => left[label]!-- > 0);
}

/**
 * Two pre-trainings that lack half of the digits each, then ten rows of every second digit and two hundred of the
 * others: the last layer alone is trained on those, on what each pre-training sees in a digit.
 */
export async function pretrainedApart(gpu: Gpu, seed: number) {
  const all = digits(seed, 8000, 0.3, "train");
  const [many, few] = [500, 5];
  const classes = Array.from({ length: CLASSES }, (_, c) => c);
  const rare = [(c: number) => c >= 5, (c: number) => c < 5] as const; // in the one pre-training and the other
  const tail = (c: number) => c % 2 === 1;
  const counts = classes.map((c) => (tail(c) ? 10 : 200));
  const total = counts.reduce((a, b) => a + b, 0);
  const downstream = counted(digits(seed + 1, 8000, 0.3, "validation"), counts);
  const test = stackExamples(digits(seed, 2000, 0.3, "test"));
  const prior = await constant(
    gpu,
    counts.map((n) => Math.log(n / total)),
  );
  const lesson = { method: kd as DistillMethod, steps: 300, lr: 0.01, seed };

  /** Trains the last layer of a pre-trained model. */
  const tuned = async (from: Model, teachers: readonly Model[]): Promise<Model> => {
    const isLast = (name: string) => name.startsWith("classifier.");
    const model = await Model.fresh(gpu, from.json, "tuned", { seed, freeze: (name) => !isLast(name) });
    for (const [name, { buffer, size }] of from.parameters)
      model.parameters.get(name)!.write(await gpu.readFloats(buffer, size));
    const given = teachers.length > 0 ? { method: adjusted as DistillMethod, teachers } : {};
    await learn(model, { ...lesson, ...given, data: pointsOf(downstream, 64, seed) });
    return model;
  };
  const plain: Beliefs[] = [];
  const even: Beliefs[] = [];
  const teachers: Model[] = [];
  for (const [k, lacks] of rare.entries()) {
    const points = counted(
      all,
      classes.map((c) => (lacks(c) ? few : many)),
    );
    const backbone = await fresh(gpu, 24, seed + 10 * k);
    await learn(backbone, { ...lesson, data: pointsOf(points, 64, seed) });
    const unadjusted = await tuned(backbone, []);
    plain.push(await beliefs(unadjusted, test));
    teachers.push(await tuned(backbone, [prior]));
    even.push(await beliefs(teachers[k]!, test));
    unadjusted.free();
    backbone.free();
  }
  const among = (found: Beliefs, is: (c: number) => boolean) => {
    const rows = [...found.targets.keys()].filter((i) => is(found.targets[i]!));
    return accuracy({ p: rows.map((i) => found.p[i]!), targets: rows.map((i) => found.targets[i]!) });
  };
  /** Over the two models, each with the digits that it lacks. */
  const over = (found: readonly Beliefs[], is: (c: number, lacks: (c: number) => boolean) => boolean) =>
    mean(found.map((each, k) => among(each, (c) => is(c, rare[k]!))));
  const student = async (method: DistillMethod, from: readonly Model[]) => {
    const model = await fresh(gpu, 24, seed + 50);
    await learn(model, { ...lesson, method, teachers: from, data: pointsOf(all.slice(0, 2000), 64, seed) });
    const found = await beliefs(model, test);
    model.free();
    return accuracy(found);
  };
  const ensemble = averaged(even);
  const found = {
    plainTail: over(plain, (c) => tail(c)),
    adjustedTail: over(even, (c) => tail(c)),
    adjustedKnown: over(even, (c, lacks) => !lacks(c)),
    adjustedLacking: over(even, (c, lacks) => lacks(c)),
    ensembleLacking: over([ensemble, ensemble], (c, lacks) => lacks(c)),
    single: even.map(accuracy) as [number, number],
    ensemble: accuracy(ensemble),
    studentOfBoth: await student(logitEnsemble as never, teachers),
    studentOfOne: mean([await student(kd as never, [teachers[0]!]), await student(kd as never, [teachers[1]!])]),
  };
  for (const model of [prior, ...teachers]) model.free();
  return found;
}
