/** Small worlds in which methods of distillation are compared. Each gives its figures for any seed. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Batch, collate, stackExamples } from "../../src/data/batch.ts";
import { Random } from "../../src/data/random.ts";
import type { Sequence } from "../../src/data/sequences.ts";
import { method as blobs } from "../../src/data/tasks/blobs.ts";
import { method as glyphs } from "../../src/data/tasks/glyphs.ts";
import { markovLanguage } from "../../src/data/tasks/markov.ts";
import type { Split } from "../../src/data/tasks/task.ts";
import { method as akl } from "../../src/distill/akl.ts";
import { method as bdKd } from "../../src/distill/bd-kd.ts";
import { method as competitive } from "../../src/distill/competitive.ts";
import { method as dualHead, logitLoss } from "../../src/distill/dual-head.ts";
import { method as hidden } from "../../src/distill/hidden.ts";
import { method as jsd } from "../../src/distill/jsd.ts";
import { method as kd } from "../../src/distill/kd.ts";
import { method as lssd } from "../../src/distill/lssd.ts";
import { type DistillMethod, defineDistillation } from "../../src/distill/method.ts";
import { method as mtard } from "../../src/distill/mtard.ts";
import { method as reverseKl } from "../../src/distill/reverse-kl.ts";
import { sampledBatches } from "../../src/distill/sampled.ts";
import { method as selfFurther } from "../../src/distill/self-further.ts";
import { method as seqKd } from "../../src/distill/seq-kd.ts";
import { method as skewKl } from "../../src/distill/skew-kl.ts";
import { method as skewRkl } from "../../src/distill/skew-rkl.ts";
import { method as taid } from "../../src/distill/taid.ts";
import { method as tvd } from "../../src/distill/tvd.ts";
import { method as uld } from "../../src/distill/uld.ts";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { Model } from "../../src/model/model.ts";
import { Generator } from "../../src/sample/generate.ts";
import { GREEDY } from "../../src/sample/sampling.ts";
import { cachedTeacher } from "../../src/train/teacher.ts";
import { TeacherCache, writeCache } from "../../src/train/teacher-cache.ts";
import {
  accuracy,
  beliefs,
  calibrationError,
  compare,
  copyOf,
  entropy,
  type Lesson,
  learn,
  markovRows,
  mean,
  nll,
  type Point,
  pointsOf,
  rowsOf,
  sequencesOf,
  taskPoints,
} from "./distill-support.ts";

type Given = Partial<Lesson> & { readonly from?: Model };

// ---------------------------------------------------------------------------------------------------------------------------
// Two modes, and a student that cannot hold both.

export interface ModeFigures {
  readonly forward: number;
  readonly reverse: number;
  readonly jensen: number;
  readonly variation: number;
  readonly entropy: number;
  /** Probability where the teacher has less than 0.01. */
  readonly outside: number;
}

const AROUND = 24;

/**
 * Each of 24 inputs has two likely places on a circle of 24 labels, one of them at random. The student sees its input through three
 * numbers. It learns by forward KL first, because total variation hardly moves a student that knows nothing; then every method goes on
 * from there for the same 300 steps over the same batches.
 */
export async function twoModes(gpu: Gpu, seed: number): Promise<Map<string, ModeFigures>> {
  const random = new Random(seed, "modes");
  const second = Array.from({ length: AROUND }, (_, c) => c);
  for (let i = AROUND - 1; i > 0; i--) {
    const j = random.below(i + 1);
    [second[i], second[j]] = [second[j]!, second[i]!];
  }
  const input = (c: number) => Float32Array.from({ length: AROUND }, (_, i) => (i === c ? 1 : 0));
  const points = Array.from({ length: 6000 }, (_, i): Point => {
    const c = i % AROUND;
    const middle = random.uniform() < 0.5 ? c : second[c]!;
    return { x: input(c), shape: [AROUND], label: (middle + random.below(3) - 1 + AROUND) % AROUND };
  });
  const all = stackExamples(Array.from({ length: AROUND }, (_, c) => ({ x: input(c), shape: [AROUND], label: c })));
  const net = (width: number, act: string, from: number) =>
    Model.fresh(
      gpu,
      { model_type: "mlp", input_size: AROUND, hidden_sizes: [width], hidden_act: act, num_labels: AROUND },
      "net",
      { seed: from },
    );
  const teacher = await net(64, "relu", seed);
  await learn(teacher, { method: kd, data: pointsOf(points, 256, seed), steps: 300, lr: 0.02, seed });
  const truth = await beliefs(teacher, all);
  const begun = await net(3, "gelu", seed + 100);
  const first = { method: kd, teachers: [teacher], data: pointsOf(points, 64, seed), steps: 400, lr: 0.03, seed };
  await learn(begun, first);

  const found = new Map<string, ModeFigures>();
  const methods: readonly DistillMethod[] = [
    kd as DistillMethod,
    jsd as never,
    reverseKl as never,
    skewKl as never,
    skewRkl as never,
    tvd as never,
    akl as never,
    taid as never,
    bdKd as never,
  ];
  for (const method of methods) {
    const student = await copyOf(begun);
    await learn(student, {
      ...first,
      method,
      weights: { labels: 0 },
      data: pointsOf(points, 64, seed + 1),
      steps: 300,
      lr: 0.01,
    });
    const own = await beliefs(student, all);
    const far = own.p.map((q, i) => q.reduce((sum, x, v) => sum + (truth.p[i]![v]! < 0.01 ? x : 0), 0));
    found.set(method.name, { ...compare(truth, own), entropy: entropy(own), outside: mean(far) });
    student.free();
  }
  begun.free();
  teacher.free();
  return found;
}

// ---------------------------------------------------------------------------------------------------------------------------
// Classifiers.

const judge = async (model: Model, test: Parameters<typeof beliefs>[1]) => {
  const found = await beliefs(model, test);
  return { accuracy: accuracy(found), calibration: calibrationError(found), nll: nll(found) };
};

/** The loss of dual-head on the main head itself. */
const oneHead = defineDistillation({
  name: "one-head",
  title: "",
  about: "",
  cite: "",
  weights: { labels: 1 },
  options: {},
  rows: (rec, { student, teachers }) => logitLoss(rec, student, teachers[0]!, 2),
});

/**
 * Ten overlapping classes of which a fifth of the labels is wrong, 400 examples for the student, 4000 for the teacher; tested on true
 * labels.
 */
export async function noisyLabels(gpu: Gpu, seed: number) {
  const options = { classes: 10, dims: 16, separation: 3, label_noise: 0.2 };
  const train = taskPoints(blobs as never, seed, 4000, options, "train");
  const test = stackExamples(taskPoints(blobs as never, seed, 1000, options, "test"));
  const net = (width: number, from: number) =>
    Model.fresh(gpu, { model_type: "mlp", input_size: 16, hidden_sizes: [width], num_labels: 10 }, "net", {
      seed: from,
    });
  const few = () => pointsOf(train.slice(0, 400), 32, seed + 9);
  const lesson = { method: kd as DistillMethod, steps: 300, lr: 0.01, seed };
  const teacher = await net(128, seed);
  await learn(teacher, { ...lesson, data: pointsOf(train, 64, seed), steps: 400 });
  const run = async (given: Given, width = 12, from = seed + 50) => {
    const student = await net(width, from);
    await learn(student, { ...lesson, teachers: [teacher], data: few(), ...given });
    const figures = await judge(student, test);
    student.free();
    return figures;
  };
  const labels = await run({ teachers: [] });
  const distilled = await run({});
  const both = await run({ weights: { labels: 1 } });
  const dual = await run({ method: dualHead as never });
  const one = await run({ method: oneHead as never });
  const balanced = await run({ method: bdKd as never });
  // Teacher and student from nothing, on the little data that the student has.
  const alone = await run({ teachers: [] }, 128, seed + 3);
  const taught = await net(128, seed + 3);
  const online = await run({ method: bdKd as never, teachers: [taught], online: true });
  const together = await judge(taught, test);
  taught.free();
  const rival = await net(128, seed + 3);
  const competing = await run({ method: competitive as never, teachers: [rival], online: true });
  const competed = await judge(rival, test);
  rival.free();
  teacher.free();
  return { labels, kd: distilled, both, dual, one, balanced, alone, online, together, competing, competed };
}

/** Digits with little noise and with much, a teacher for each, and students of one of them or both. */
export async function cleanAndNoisy(gpu: Gpu, seed: number) {
  const rows = (count: number, noise: number, split: Split) =>
    taskPoints(glyphs as never, seed, count, { canvas: 9, shift: 1, noise }, split);
  const [clean, noisy] = [rows(3000, 0.1, "train"), rows(3000, 0.6, "validation")];
  const tests = [stackExamples(rows(800, 0.1, "test")), stackExamples(rows(800, 0.6, "test"))];
  const net = (width: number, from: number) =>
    Model.fresh(gpu, { model_type: "mlp", input_size: 81, hidden_sizes: [width], num_labels: 10 }, "net", {
      seed: from,
    });
  const lesson = { method: kd as DistillMethod, steps: 400, lr: 0.01, seed };
  const [sure, robust] = [await net(64, seed), await net(64, seed + 1)];
  await learn(sure, { ...lesson, data: pointsOf(clean, 64, seed) });
  await learn(robust, { ...lesson, data: pointsOf(noisy, 64, seed) });
  const run = async (given: Given) => {
    const student = await net(32, seed + 9);
    const data = pointsOf([...clean.slice(0, 600), ...noisy.slice(0, 600)], 32, seed);
    const heard = await learn(student, { ...lesson, data, ...given });
    const scores = [await judge(student, tests[0]!), await judge(student, tests[1]!)].map(({ accuracy: a }) => a);
    student.free();
    const late = (name: string) => mean(heard.slice(-50).map((metrics) => metrics[name] ?? 0));
    const left = (k: number) => late(`loss_${k}`) / (heard[0]![`loss_${k}`] ?? 1);
    return {
      clean: scores[0]!,
      noisy: scores[1]!,
      accuracy: mean(scores),
      entropyGap: Math.abs(late("entropy_0") - late("entropy_1")),
      progressGap: Math.abs(left(0) - left(1)),
    };
  };
  const pair = (balance: string) =>
    run({ method: mtard as never, teachers: [sure, robust], settings: { balance, temperature_rate: 0.02 } });
  const found = {
    sure: await run({ teachers: [sure] }),
    robust: await run({ teachers: [robust] }),
    none: await pair("none"),
    norm: await pair("norm"),
    both: await pair("both"),
  };
  sure.free();
  robust.free();
  return found;
}

// ---------------------------------------------------------------------------------------------------------------------------
// Languages.

const SYMBOLS = 12;
const LENGTH = 24;

const decoder = (gpu: Gpu, width: number, layers: number, seed: number, vocabulary = SYMBOLS) =>
  Model.fresh(
    gpu,
    {
      model_type: "llama",
      hidden_size: width,
      intermediate_size: 2 * width,
      num_hidden_layers: layers,
      num_attention_heads: 2,
      num_key_value_heads: 2,
      vocab_size: vocabulary,
      max_position_embeddings: 64,
      rms_norm_eps: 1e-5,
      initializer_range: 0.1,
    },
    "decoder",
    { seed },
  );

const oneBatch = (rows: readonly Sequence[]): Batch =>
  collate(
    rows.map((row) => [row]),
    { buckets: "none" },
  );

/**
 * A language of 12 symbols in which two decide the next; the teacher reads 1024 texts of it, the student 16. Losses are on other texts,
 * `own` is the reverse KL on what the student itself writes.
 */
export async function littleText(gpu: Gpu, seed: number) {
  const language = { alphabet: SYMBOLS, order: 2, length: LENGTH, concentration: 0.1, smoothing: 0.01 };
  const rows = markovRows(seed, 1024, language);
  const test = oneBatch(markovRows(seed, 96, language, "test"));
  const teacher = await decoder(gpu, 48, 2, seed);
  await learn(teacher, { method: kd, data: rowsOf(rows, 32, seed), steps: 150, lr: 0.01, seed });
  const truth = await beliefs(teacher, test);
  const little = () => rowsOf(rows.slice(0, 16), 16, seed + 9);
  const sampled = (model: Model, whose: string, share: number) =>
    sampledBatches(little(), () => model, {
      seed,
      whose,
      share,
      temperature: 1,
      maxTokens: LENGTH - 2,
      promptTokens: 2,
      maxLength: LENGTH + 1,
      pad: 0,
      eos: undefined,
    });
  const measure = async (student: Model) => {
    const found = await beliefs(student, test);
    const prompts = rows.slice(900, 964).map(({ ids }) => [...ids.slice(0, 2)]);
    const written = await new Generator(student).complete(prompts, {
      ...GREEDY,
      temperature: 1,
      seed: 7,
      maxTokens: LENGTH - 2,
      stop: [],
      batch: prompts.length,
    });
    const texts = oneBatch(sequencesOf(written.map((text, i) => [...prompts[i]!, ...text])));
    const own = compare(await beliefs(teacher, texts), await beliefs(student, texts)).reverse;
    return { loss: nll(found), forward: compare(truth, found).forward, own };
  };
  const run = async (given: Given & { method: DistillMethod }, from?: Model) => {
    const student = from ?? (await decoder(gpu, 16, 1, seed + 50));
    await learn(student, { teachers: [teacher], data: little(), steps: 80, lr: 0.01, seed, ...given });
    const figures = await measure(student);
    student.free();
    return figures;
  };
  const found = {
    labels: await run({ method: kd as never, teachers: [] }),
    kd: await run({ method: kd as never }),
    hidden: await run({ method: hidden as never, weights: { distill: 10 } }),
    // Knows no token from another, so that one tokenizer does for two.
    uld: await run({ method: uld as never }),
    seqKd: await run({ method: seqKd as never, data: sampled(teacher, "teacher", 1) }),
    offPolicy: await run({ method: jsd as never }),
    onPolicy: await (async () => {
      const student = await decoder(gpu, 16, 1, seed + 50);
      return run({ method: jsd as never, data: sampled(student, "student", 0.5) }, student);
    })(),
  };
  teacher.free();
  return { ...found, teacher: nll(truth) };
}

/** A decoder that knows one language goes on with 24 texts of another. Losses on other texts of both. */
export async function newLanguage(gpu: Gpu, seed: number) {
  const language = { alphabet: SYMBOLS, order: 1, length: LENGTH, concentration: 0.3, smoothing: 0.01 };
  const tests = [seed, seed + 100].map((s) => oneBatch(markovRows(s, 96, language, "test")));
  const base = await decoder(gpu, 32, 1, seed);
  await learn(base, {
    method: kd,
    data: rowsOf(markovRows(seed, 1024, language), 32, seed),
    steps: 150,
    lr: 0.01,
    seed,
  });
  const few = markovRows(seed + 100, 24, language);
  const go = async (given: Given & { method: DistillMethod }) => {
    const model = await copyOf(base);
    await learn(model, { teachers: [base], data: rowsOf(few, 24, seed), steps: 60, lr: 0.01, seed, ...given });
    const [old, fresh] = [nll(await beliefs(model, tests[0]!)), nll(await beliefs(model, tests[1]!))];
    return { model, figures: { old, fresh, moved: await distance(model, base) } };
  };
  const further = await go({ method: kd as never, teachers: [] });
  const original = await go({ method: kd as never, weights: { distill: 0.5, labels: 0.5 } });
  const swapped = await go({ method: lssd as never });
  const self = await go({ method: selfFurther as never, teachers: [further.model], weights: { distill: 10 } });
  for (const { model } of [further, original, swapped, self]) model.free();
  base.free();
  return {
    further: further.figures,
    original: original.figures,
    swapped: swapped.figures,
    self: self.figures,
  };
}

async function distance(a: Model, b: Model): Promise<number> {
  let sum = 0;
  for (const [name, { buffer, size }] of a.parameters) {
    const [x, y] = [await a.gpu.readFloats(buffer, size), await b.gpu.readFloats(b.parameters.get(name)!.buffer, size)];
    sum += x.reduce((total, value, i) => total + (value - y[i]!) ** 2, 0);
  }
  return Math.sqrt(sum);
}

/** 256 symbols: students of the live teacher and of what a cache keeps of it, over the same batches. */
export async function cachedTop(gpu: Gpu, seed: number, kept: readonly number[]) {
  const vocabulary = 256;
  const language = markovLanguage(seed, vocabulary, 1, 0.1, 0.05);
  const random = new Random(seed, "cached");
  const text = (): number[] => {
    const ids = [random.below(vocabulary)];
    while (ids.length < LENGTH)
      ids.push(random.weighted([...language.probabilities.subarray(ids.at(-1)! * vocabulary).subarray(0, vocabulary)]));
    return ids;
  };
  const rows = sequencesOf(Array.from({ length: 512 }, text));
  const test = oneBatch(sequencesOf(Array.from({ length: 32 }, text)));
  const teacher = await decoder(gpu, 48, 1, seed, vocabulary);
  await learn(teacher, { method: kd, data: rowsOf(rows, 32, seed), steps: 150, lr: 0.02, seed });
  const truth = await beliefs(teacher, test);
  const folder = mkdtempSync(join(tmpdir(), "ingot-top-"));
  const data = rows.slice(0, 128);
  const lesson = { method: kd as DistillMethod, steps: 80, lr: 0.02, seed };
  const run = async (given: Given) => {
    const student = await decoder(gpu, 16, 1, seed + 50, vocabulary);
    const heard = await learn(student, { ...lesson, data: rowsOf(data, 16, seed), ...given });
    const found = await beliefs(student, test);
    student.free();
    return { found, first: heard[0]!.loss!, loss: nll(found), forward: compare(truth, found).forward };
  };
  try {
    const live = await run({ teachers: [teacher] });
    const other = await run({ teachers: [teacher], data: rowsOf(data, 16, seed + 1) });
    const results = [];
    for (const k of kept) {
      const file = join(folder, `${k}.safetensors`);
      const signal = new AbortController().signal;
      await writeCache(file, teacher, data, { k, rows: 16, pad: 0, lineage: [], signal });
      const cache = await TeacherCache.open(file);
      const cached = await run({ teachers: [cachedTeacher(k)], cached: (batch) => cache.rows(batch) });
      cache.close();
      const mass = mean(
        truth.p.map((p) =>
          [...p]
            .sort((a, b) => b - a)
            .slice(0, k)
            .reduce((a, b) => a + b, 0),
        ),
      );
      results.push({
        k,
        mass,
        /** Of the loss of the first step, at equal weights. */
        lossError: Math.abs(cached.first / live.first - 1),
        forward: cached.forward,
        /** From the live teacher's student. */
        variation: compare(live.found, cached.found).variation,
      });
    }
    return { results, live: live.forward, otherOrder: compare(live.found, other.found).variation };
  } finally {
    rmSync(folder, { recursive: true });
    teacher.free();
  }
}
