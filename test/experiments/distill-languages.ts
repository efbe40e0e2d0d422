/** Small languages on which methods of distillation are compared. Each gives its figures for any seed. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { collate, type TokenBatch } from "../../src/data/batch.ts";
import { Random } from "../../src/data/random.ts";
import type { Sequence } from "../../src/data/sequences.ts";
import { markovLanguage } from "../../src/data/tasks/markov.ts";
import type { DistillMethod } from "../../src/distill/contract.ts";
import { method as attention } from "../../src/distill/methods/attention.ts";
import { method as hidden } from "../../src/distill/methods/hidden.ts";
import { method as jsd } from "../../src/distill/methods/jsd.ts";
import { method as kd } from "../../src/distill/methods/kd.ts";
import { method as lssd } from "../../src/distill/methods/lssd.ts";
import { method as messages } from "../../src/distill/methods/messages.ts";
import { method as reverseKl } from "../../src/distill/methods/reverse-kl.ts";
import { method as selfFurther } from "../../src/distill/methods/self-further.ts";
import { method as seqKd } from "../../src/distill/methods/seq-kd.ts";
import { method as taid } from "../../src/distill/methods/taid.ts";
import { method as uld } from "../../src/distill/methods/uld.ts";
import { sampledBatches } from "../../src/distill/sampled.ts";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { Model } from "../../src/model/model.ts";
import { Generator } from "../../src/run/generating/generate.ts";
import { GREEDY } from "../../src/run/generating/sampling.ts";
import { AllLogits } from "../../src/run/scoring/all-logits.ts";
import { cachedTeacher } from "../../src/run/teachers/teacher.ts";
import { TeacherCache } from "../../src/run/teachers/teacher-cache.ts";
import { writeCache } from "../../src/run/teachers/write-teacher-cache.ts";
import {
  beliefs,
  compare,
  copyOf,
  type Lesson,
  learn,
  markovRows,
  mean,
  nll,
  rowsOf,
  sequencesOf,
} from "./distill-support.ts";

type Given = Partial<Lesson>;

export const SYMBOLS = 12;
export const LENGTH = 24;

export const decoder = (gpu: Gpu, width: number, layers: number, seed: number, vocabulary = SYMBOLS) =>
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

export const oneBatch = (rows: readonly Sequence[]): TokenBatch =>
  collate(
    rows.map((row) => [row]),
    { buckets: "none" },
  );

/** What a model writes after the first two symbols of texts. */
export async function written(model: Model, beginnings: readonly Sequence[]): Promise<TokenBatch> {
  const prompts = beginnings.map(({ ids }) => [...ids.slice(0, 2)]);
  const texts = await new Generator(model).complete(prompts, {
    ...GREEDY,
    temperature: 1,
    seed: 7,
    maxTokens: LENGTH - 2,
    stop: [],
    batch: prompts.length,
  });
  return oneBatch(sequencesOf(texts.map((text, i) => [...prompts[i]!, ...text])));
}

/**
 * A large teacher and a small student (47,000 weights and 900) that both have read the language, as in the paper of
 * TAID; then the same steps over the same texts. `writing` is the teacher's loss on 256 texts that the student writes.
 */
export async function largeTeacher(gpu: Gpu, seed: number) {
  const language = { alphabet: SYMBOLS, order: 2, length: LENGTH, concentration: 0.1, smoothing: 0.01 };
  const rows = markovRows(seed, 1024, language);
  const test = oneBatch(markovRows(seed, 96, language, "test"));
  const teacher = await decoder(gpu, 48, 2, seed);
  const lesson = { method: kd as DistillMethod, steps: 150, lr: 0.01, seed };
  await learn(teacher, { ...lesson, data: rowsOf(rows, 32, seed), steps: 200 });
  const truth = await beliefs(teacher, test);
  const read = await decoder(gpu, 8, 1, seed + 50);
  await learn(read, { ...lesson, data: rowsOf(rows, 32, seed + 4) });
  const run = async (method: DistillMethod) => {
    const student = await copyOf(read);
    await learn(student, { ...lesson, method, teachers: [teacher], data: rowsOf(rows, 32, seed + 9), steps: 120 });
    const { forward, reverse } = compare(truth, await beliefs(student, test));
    const writing = nll(await beliefs(teacher, await written(student, rows.slice(700, 956))));
    student.free();
    return { forward, reverse, writing };
  };
  const found = {
    kd: await run(kd as never),
    taid: await run(taid as never),
    reverseKl: await run(reverseKl as never),
  };
  read.free();
  teacher.free();
  return found;
}

/**
 * A language of 12 symbols in which two decide the next; the teacher reads 1024 texts of it, the student 16, and of
 * `more` 64. Losses are on other texts, `own` is the reverse KL on what the student itself writes.
 */
export async function littleText(gpu: Gpu, seed: number) {
  const language = { alphabet: SYMBOLS, order: 2, length: LENGTH, concentration: 0.1, smoothing: 0.01 };
  const rows = markovRows(seed, 1024, language);
  const test = oneBatch(markovRows(seed, 96, language, "test"));
  const teacher = await decoder(gpu, 48, 2, seed);
  await learn(teacher, { method: kd, data: rowsOf(rows, 32, seed), steps: 150, lr: 0.01, seed });
  const truth = await beliefs(teacher, test);
  const texts = (count: number) => rowsOf(rows.slice(0, count), 16, seed + 9);
  const little = () => texts(16);
  const sampled = (model: Model, whose: "teacher" | "student", share: number) =>
    sampledBatches(little(), model, {
      seed,
      whose,
      share,
      options: { sample_temperature: 1, sample_tokens: LENGTH - 2, prompt_tokens: 2 },
      tools: { tokenizer: undefined, encode: { maxLength: LENGTH + 1 }, files: new Map() },
    });
  const measure = async (student: Model) => {
    const found = await beliefs(student, test);
    const answers = await written(student, rows.slice(900, 964));
    const own = compare(await beliefs(teacher, answers), await beliefs(student, answers)).reverse;
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
    attention: await run({ method: attention as never, weights: { distill: 10 } }),
    // Knows no token from another, so that one tokenizer does for two.
    uld: await run({ method: uld as never }),
    seqKd: await run({ method: seqKd as never, data: sampled(teacher, "teacher", 1) }),
    offPolicy: await run({ method: jsd as never }),
    onPolicy: await (async () => {
      const student = await decoder(gpu, 16, 1, seed + 50);
      return run({ method: jsd as never, data: sampled(student, "student", 0.5) }, student);
    })(),
  };
  // As many maps that show nothing of the language.
  const untrained = await decoder(gpu, 48, 2, seed);
  const more = {
    labels: await run({ method: kd as never, teachers: [], data: texts(64) }),
    attention: await run({ method: attention as never, data: texts(64) }),
    untrained: await run({ method: attention as never, teachers: [untrained], data: texts(64) }),
  };
  untrained.free();
  teacher.free();
  return { ...found, more, teacher: nll(truth) };
}

/** Students of two layers on 64 texts: labels alone, logits, last hidden states, or messages. Losses on other texts. */
export async function talking(gpu: Gpu, seed: number) {
  const language = { alphabet: SYMBOLS, order: 2, length: LENGTH, concentration: 0.1, smoothing: 0.01 };
  const rows = markovRows(seed, 1024, language);
  const test = oneBatch(markovRows(seed, 96, language, "test"));
  const teacher = await decoder(gpu, 48, 4, seed);
  await learn(teacher, { method: kd, data: rowsOf(rows, 32, seed), steps: 150, lr: 0.01, seed });
  const run = async (given: Given & { method: DistillMethod }) => {
    const student = await decoder(gpu, 16, 2, seed + 50);
    const data = rowsOf(rows.slice(0, 64), 16, seed + 9);
    await learn(student, { teachers: [teacher], data, steps: 120, lr: 0.01, seed, ...given });
    const loss = nll(await beliefs(student, test));
    student.free();
    return loss;
  };
  const found = {
    teacher: nll(await beliefs(teacher, test)),
    labels: await run({ method: kd as never, teachers: [] }),
    kd: await run({ method: kd as never }),
    hidden: await run({ method: hidden as never, weights: { distill: 1 } }),
    messages: await run({ method: messages as never }),
    strongly: await run({ method: messages as never, weights: { distill: 10 } }),
  };
  teacher.free();
  return found;
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
      await writeCache(file, new AllLogits(teacher), data, {
        ref: "teacher",
        k,
        rows: 16,
        pad: 0,
        lineage: [],
        signal,
      });
      const cache = await TeacherCache.open(file);
      const cached = await run({ teachers: [cachedTeacher(cache)] });
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
