/** Small classifiers among which methods of distillation are compared. Each world gives its figures for any seed. */
import { stackExamples } from "../../src/data/batch.ts";
import { Random } from "../../src/data/random.ts";
import type { Split } from "../../src/data/task.ts";
import { method as blobs } from "../../src/data/tasks/blobs.ts";
import { method as glyphs } from "../../src/data/tasks/glyphs.ts";
import { DISTILL_LAWS, type DistillMethod, defineDistillation } from "../../src/distill/contract.ts";
import { method as akl } from "../../src/distill/methods/akl.ts";
import { method as bdKd } from "../../src/distill/methods/bd-kd.ts";
import { method as competitive } from "../../src/distill/methods/competitive.ts";
import { method as dualHead, logitLoss } from "../../src/distill/methods/dual-head.ts";
import { method as jsd } from "../../src/distill/methods/jsd.ts";
import { method as kd } from "../../src/distill/methods/kd.ts";
import { method as mtard } from "../../src/distill/methods/mtard.ts";
import { method as reverseKl } from "../../src/distill/methods/reverse-kl.ts";
import { method as skewKl } from "../../src/distill/methods/skew-kl.ts";
import { method as skewRkl } from "../../src/distill/methods/skew-rkl.ts";
import { method as taid } from "../../src/distill/methods/taid.ts";
import { method as tvd } from "../../src/distill/methods/tvd.ts";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { sameClaim } from "../../src/method/laws.ts";
import { Model } from "../../src/model/model.ts";
import {
  accuracy,
  beliefs,
  calibrationError,
  compare,
  copyOf,
  entropy,
  type Lesson,
  learn,
  mean,
  nll,
  type Point,
  pointsOf,
  taskPoints,
} from "./distill-support.ts";

type Given = Partial<Lesson>;

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
 * Each of 24 inputs has two likely places on a circle of 24 labels, one of them at random. The student sees its input
 * through three numbers. It learns by forward KL first, because total variation hardly moves a student that knows
 * nothing; then every method goes on from there for the same 300 steps over the same batches.
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
  laws: sameClaim(DISTILL_LAWS, "a loss of this test"),
  weights: { labels: 1 },
  options: {},
  rows: (rec, { student, teachers }) => logitLoss(rec, student, teachers[0]!, 2),
});

/**
 * Ten overlapping classes of which a fifth of the labels is wrong, 400 examples for the student, 4000 for the teacher;
 * tested on true labels.
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
