/** Learns tasks one after the other, by their answers or by rewards of the model's own, and measures what is left. */

import type { Batch } from "../../data/batch.ts";
import { bindDefaults } from "../../method/bind.ts";
import { loadMethod } from "../../method/registry.ts";
import type { Model } from "../../model/model.ts";
import type { Rollout } from "../../run/generating/rollouts.ts";
import type { BatchSource } from "../../run/training/batch-source.ts";
import { crossEntropyObjective } from "../../run/training/cross-entropy.ts";
import { batchesOf } from "../../run/training/short-training.ts";
import { trainModel } from "../../run/training/train-model.ts";
import type { Answering } from "./answering.ts";
import { rewardedBatches } from "./rewarded-batches.ts";
import { isRight, type Task, type TaskRow } from "./tasks.ts";

/** Ways to learn. */
export type Paradigm = "sft" | "rft" | "rft-kl" | "rft-filtered";

export interface ParadigmSetup {
  readonly model: Model;
  readonly ref: string;
  readonly tasks: readonly Task[];
  /** Measured, and never learned. */
  readonly general: Task | undefined;
  readonly answering: Answering;
  readonly reference: Answering;
  /** Answers of the model as it was to held-out rows of every task. */
  readonly before: readonly Samples[];
  readonly ends: readonly number[];
  readonly pad: number;
  readonly longest: number;
  readonly seed: number;
  readonly signal: AbortSignal;
  readonly steps: number;
  readonly every: number;
  readonly goal: number;
  readonly batch: number;
  readonly group: number;
  readonly lr: number;
  readonly sftLr: number;
  readonly kl: number;
  readonly attempts: number;
  /** Hears every step. */
  readonly done: () => void;
}

export interface Samples {
  readonly rows: readonly TaskRow[];
  readonly answers: readonly Rollout[];
}

export interface Learned {
  /** After each task, on each task. */
  readonly accuracy: readonly (readonly number[])[];
  readonly general: number | undefined;
  /** KL from the model as it was to the one after the last task, on prompts of all tasks before it, nats an answer. */
  readonly kl: number;
  /** Of each task. */
  readonly steps: readonly number[];
  readonly rollouts: number;
  readonly gradientNorm: number;
  /** Share of the weights that moved by more than the last place of bfloat16. */
  readonly moved: number;
  readonly variance: number | undefined;
  /** Rows that were learned from, of all. */
  readonly kept: number;
}

const meanOf = (values: readonly number[]): number => values.reduce((sum, x) => sum + x, 0) / values.length;

/** Mean accuracy after the last task, and the mean change on the others since they were learned. */
export function forgettingOf(accuracy: Learned["accuracy"]): { readonly average: number; readonly forgetting: number } {
  const last = accuracy.at(-1)!;
  return { average: meanOf(last), forgetting: meanOf(last.slice(0, -1).map((own, j) => own - accuracy[j]![j]!)) };
}

/** Share of values that moved by more than the last place of bfloat16 there. */
export function movedShare(before: Float32Array, after: Float32Array): number {
  let count = 0;
  for (const [i, x] of before.entries()) {
    const place = x === 0 ? 0 : 2 ** (Math.floor(Math.log2(Math.abs(x))) - 7);
    if (Math.abs(after[i]! - x) > place) count++;
  }
  return count / before.length;
}

/** Values of all that is trained. */
async function weightsOf(model: Model): Promise<Float32Array> {
  const parts: Float32Array[] = [];
  for (const { buffer, size } of model.trainable()) parts.push(await model.gpu.readFloats(buffer, size));
  const all = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** Rows with a right answer among several. */
async function solvable({ train, name }: Task, { answering, attempts, ends }: ParadigmSetup): Promise<TaskRow[]> {
  const said = await answering.sample(train, attempts, `attempts ${name}`);
  return train.filter((row, i) => {
    return said.slice(i * attempts, (i + 1) * attempts).some(({ ids }) => isRight(ids, row, ends));
  });
}

/** Trains the model, as it is, on all tasks in turn. */
export async function learnInTurn(paradigm: Paradigm, setup: ParadigmSetup): Promise<Learned> {
  const { model, tasks, general, answering, reference, before, ends, pad, longest, seed, signal } = setup;
  const start = await weightsOf(model);
  const generalBefore = general && (await answering.accuracy(general.held));
  const accuracy: number[][] = [];
  const [steps, norms, variances]: number[][] = [[], [], []];
  let [rollouts, kept] = [0, 0];
  for (const task of tasks) {
    const rows = paradigm === "rft-filtered" ? await solvable(task, setup) : task.train;
    if (paradigm === "rft-filtered") rollouts += task.train.length * setup.attempts;
    kept += rows.length;
    const rewarded =
      paradigm === "sft" || rows.length === 0
        ? undefined
        : rewardedBatches({
            ...{ rows, answering, ends, pad, longest, seed, name: task.name, group: setup.group },
            prompts: setup.batch / setup.group,
            reference: paradigm === "rft-kl" ? { answering: reference, weight: setup.kl } : undefined,
          });
    const material = { kind: "text", rows: rows.map(({ sequence }) => sequence), pad } as const;
    const source: BatchSource<Batch> | undefined =
      paradigm === "sft" ? batchesOf(material, rows.length, { batchSize: setup.batch, seed }) : rewarded;
    let step = 0;
    if (source)
      ({ step } = await trainModel<Batch>({
        ...{ model, source, steps: setup.steps, seed, signal, name: setup.ref },
        objective: crossEntropyObjective(model),
        optimizer: bindDefaults(await loadMethod("optimizer", "adamw"), { beta2: 0.999, weight_decay: 0 }),
        rate: () => (paradigm === "sft" ? setup.sftLr : setup.lr),
        clip: 1,
        advice: `lower --forgetting-paradigm-${paradigm === "sft" ? "sft-lr" : "lr"}`,
        async after(at) {
          return at % setup.every === 0 && (await answering.accuracy(task.held)) >= setup.goal;
        },
        onStep({ gradNorm }) {
          norms!.push(gradNorm);
          setup.done();
        },
      }));
    signal.throwIfAborted();
    for (let left = step; left < setup.steps; left++) setup.done();
    steps!.push(step);
    if (rewarded) variances!.push(rewarded.variance());
    rollouts += rewarded?.rollouts() ?? 0;
    const row: number[] = [];
    for (const { held } of tasks) row.push(await answering.accuracy(held));
    accuracy.push(row);
  }
  const apart: number[] = [];
  for (const { rows, answers } of before.slice(0, -1)) {
    const now = await answering.logProbs(
      rows,
      answers.map(({ ids }) => ids),
    );
    apart.push(meanOf(answers.map(({ logProbs }, i) => logProbs.reduce((a, b) => a + b, 0) - now[i]!)));
  }
  return {
    accuracy,
    general: general && (await answering.accuracy(general.held)) - generalBefore!,
    kl: meanOf(apart),
    steps: steps!,
    rollouts,
    gradientNorm: meanOf(norms!),
    moved: movedShare(start, await weightsOf(model)),
    variance: variances!.length > 0 ? meanOf(variances!) : undefined,
    kept: kept / tasks.reduce((sum, { train }) => sum + train.length, 0),
  };
}
