/**
 * Short trainings from the same start, and the held-out losses after each: what graphs and weights of tasks are
 * measured by.
 */
import type { BatchSource } from "../run/training/batch-source.ts";
import type { Controller } from "../run/training/controller.ts";
import type { HeldOut, HeldOutGroup } from "../run/training/held-out.ts";
import { Perturbation } from "../run/training/perturbation.ts";
import { type TrainingOptions, trainModel } from "../run/training/train-model.ts";
import { checkFinite, groupLosses } from "./losses.ts";
import type { CurriculumBatch } from "./source.ts";

/** One training. */
export interface ShortRun {
  /** What it trains on, for messages. */
  readonly on: string;
  readonly source: BatchSource<CurriculumBatch>;
  readonly steps: number;
  /** Follows it, with the losses of held-out rows. */
  readonly follow?: Controller;
}

export interface ShortRuns {
  /** Names the model in messages. */
  readonly ref: string;
  /** Groups, in the order in which losses are given. */
  readonly names: readonly string[];
  readonly held: HeldOut;
  /** The same rows, for runs that are followed. */
  readonly heldOut?: readonly HeldOutGroup[];
  readonly training: Omit<TrainingOptions<CurriculumBatch>, "source" | "steps" | "rate">;
  /** Learning rate of a step of a run of so many steps. */
  readonly rate: (step: number, steps: number) => number;
  readonly signal: AbortSignal;
  /** Hears the end of every run. */
  readonly done: () => void;
}

/**
 * Losses of all groups at the start, and after every run, each from the same weights. Memory: a copy of the trained
 * weights. Throws UserError (exit 1) for a loss that is not finite.
 */
export async function measureRuns(
  { ref, names, held, heldOut = [], training, rate, signal, done }: ShortRuns,
  runs: readonly ShortRun[],
): Promise<{ start: number[]; after: number[][] }> {
  const { model } = training;
  const weights = new Perturbation(model.gpu, model.trainable());
  weights.save();
  const start = await groupLosses(held, names);
  checkFinite(start, names, ref, `bun run inspect ${ref} --check looks for NaN in its weights`);
  const after: number[][] = [];
  const advice = "lower --lr, or give --clip 1";
  for (const { on, source, steps, follow } of runs) {
    const name = `${ref} on ${on}`;
    const followed = follow ? { controllers: [follow], heldOut } : {};
    await trainModel({
      ...training,
      ...followed,
      ...{ source, steps, rate: (step: number) => rate(step, steps), signal, name, advice },
    });
    signal.throwIfAborted();
    const losses = await groupLosses(held, names);
    checkFinite(losses, names, `${ref} after ${steps} steps on ${on}`, advice);
    after.push(losses);
    weights.restore();
    done();
  }
  weights.free();
  return { start, after };
}
