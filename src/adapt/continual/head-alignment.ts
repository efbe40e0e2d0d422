/**
 * Classifier alignment: the head of a classifier learns on samples of the Gaussians of all classes, old ones as many as
 * new ones. Zhang et al. (SLCA), ICCV 2023, https://arxiv.org/abs/2303.05118
 *
 *   sample of class c  ~  N(k_c mu_c, Sigma_c),  k_c = 0.9 + 0.1 (t_c + 1) / (t + 1),  t_c the task of c, t the latest
 *   loss = cross-entropy(z / (tau n)),  n = mean over tasks of |z_task|, lengths of the tasks' own logits
 *
 * SGD with momentum 0.9 and decay 5e-4, at a rate that falls to 0 along a cosine.
 */
import { permutation } from "../../data/shuffle.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { bindDefaults } from "../../method/bind.ts";
import { loadMethod } from "../../method/registry.ts";
import { Programs } from "../../run/programs.ts";
import { Updater } from "../../run/training/updater.ts";
import { crossEntropy } from "../../tensor/ops/cross-entropy.ts";
import { add, addScalar, div, sqrt, square } from "../../tensor/ops/elementwise.ts";
import { linear } from "../../tensor/ops/linear.ts";
import { dot, rowSum } from "../../tensor/ops/reduce.ts";
import type { Program } from "../../tensor/program.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import { type ClassGaussian, samplesOf } from "./class-gaussians.ts";
import type { Head } from "./last-layer.ts";

/** Samples of a step. */
export const BATCH = 256;

export interface Alignment {
  readonly epochs: number;
  /** Of every class, in an epoch. */
  readonly samples: number;
  readonly lr: number;
  /** tau; 0 leaves the logits as they are. */
  readonly temperature: number;
  readonly seed: number;
  /** Index of the task that was learnt last. */
  readonly task: number;
  readonly signal: AbortSignal;
}

/** How much the mean of a class of task `own` counts after task `task`. */
export const shrinkOf = (own: number, task: number): number => 0.9 + (0.1 * (own + 1)) / (task + 1);

/** Records the loss of `n` samples (1), and the way back. */
function recordLoss(
  rec: Recorder,
  { weight, bias }: Head,
  gaussians: readonly ClassGaussian[],
  n: number,
  temperature: number,
): void {
  const [outputs, width] = weight.shape as [number, number];
  const options = bias ? { bias: rec.parameter(bias) } : {};
  const x = rec.input("samples", [n, width]);
  let logits = linear(rec, x, rec.parameter(weight), options);
  if (temperature > 0) {
    const tasks = [...new Set(gaussians.map(({ task }) => task))];
    const own = new Float32Array(tasks.length * outputs);
    for (const { task, label } of gaussians) own[tasks.indexOf(task) * outputs + label] = 1;
    const members = rec.constant(own, [tasks.length, outputs], "classes of tasks");
    const lengths = sqrt(rec, addScalar(rec, linear(rec, square(rec, logits), members), 1e-14)); // (n, tasks)
    logits = div(rec, logits, rec.reshape(rowSum(rec, lengths, temperature / tasks.length), [n, 1]));
  }
  const hidden = new Float32Array(outputs).fill(-1e9);
  for (const { label } of gaussians) hidden[label] = 0;
  const seen = add(rec, logits, rec.constant(hidden, [1, outputs], "classes to come"));
  const losses = crossEntropy(rec, seen, rec.input("labels", [n], "i32"));
  const loss = dot(rec, losses, rec.input("shares", [n]));
  rec.output("loss", loss);
  rec.backward([[loss, rec.constant(Float32Array.of(1), [1], "one")]]);
}

/** The samples of an epoch (N, C) and their labels, class after class. */
export function drawEpoch(gaussians: readonly ClassGaussian[], epoch: number, options: Omit<Alignment, "signal">) {
  const { samples: count, seed, task: latest } = options;
  const width = gaussians[0]!.mean.length;
  const samples = new Float32Array(gaussians.length * count * width);
  const labels = new Int32Array(gaussians.length * count);
  for (const [i, gaussian] of gaussians.entries()) {
    const { task, label } = gaussian;
    const name = `alignment ${latest} ${epoch} ${task} ${label}`;
    const own = samplesOf(gaussian, { count, shrink: shrinkOf(task, latest), seed, name });
    samples.set(own, i * count * width);
    labels.fill(label, i * count, (i + 1) * count);
  }
  return { samples, labels, order: permutation(labels.length, seed, epoch, `alignment ${latest}`) };
}

/** Writes the samples at these places; what is left of the batch does not count. */
function fill(
  program: Program,
  { samples, labels }: ReturnType<typeof drawEpoch>,
  places: Uint32Array,
  { n, width }: { readonly n: number; readonly width: number },
): void {
  const x = new Float32Array(n * width);
  const targets = new Int32Array(n).fill(-1);
  const shares = new Float32Array(n);
  for (const [i, place] of places.entries()) {
    x.set(samples.subarray(place * width, (place + 1) * width), i * width);
    targets[i] = labels[place]!;
    shares[i] = 1 / places.length;
  }
  program.write("samples", x);
  program.write("labels", targets);
  program.write("shares", shares);
}

/** Trains the head on samples of the Gaussians; gives the mean loss of the last epoch. */
export async function fitHead(
  gpu: Gpu,
  head: Head,
  gaussians: readonly ClassGaussian[],
  options: Alignment,
): Promise<number> {
  const { epochs, samples, lr, temperature, signal } = options;
  const total = gaussians.length * samples;
  const n = Math.min(BATCH, total);
  const width = head.weight.shape[1]!;
  const trained = [head.weight, ...(head.bias?.trainable ? [head.bias] : [])];
  const optimizer = bindDefaults(await loadMethod("optimizer", "sgd"), { momentum: 0.9, weight_decay: 5e-4 });
  const programs = new Programs(gpu, { training: true });
  const updater = await Updater.make(gpu, trained, { optimizer, decays: () => true, clip: 0 });
  const steps = epochs * Math.ceil(total / n);
  let [step, last] = [0, 0];
  try {
    const { program } = await programs.get("alignment", (rec) => recordLoss(rec, head, gaussians, n, temperature));
    for (let epoch = 0; epoch < epochs; epoch++) {
      const drawn = drawEpoch(gaussians, epoch, options);
      last = 0;
      for (let at = 0; at < total; at += n) {
        signal.throwIfAborted();
        const places = drawn.order.subarray(at, at + n);
        fill(program, drawn, places, { n, width });
        program.run({ accumulate: 0 });
        const loss = program.read("loss");
        await updater.step(step + 1, 0.5 * lr * (1 + Math.cos((Math.PI * step) / steps)), 0);
        last += ((await loss)[0]! * places.length) / total;
        step++;
      }
    }
  } finally {
    programs.free();
    updater.free();
  }
  return last;
}
