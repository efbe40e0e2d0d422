/** Short runs that measure how skills help each other: the losses that graph.ts makes a graph of. */
import type { Model } from "../model/model.ts";
import type { HeldOut } from "../train/held-out.ts";
import { Perturbation } from "../train/perturb.ts";
import { Trainer, type TrainerOptions } from "../train/trainer.ts";
import { groupLosses } from "./losses.ts";
import type { CurriculumBatch, Rows } from "./source.ts";
import { MixtureSource } from "./source.ts";

export interface GraphRuns {
  readonly model: Model;
  readonly rows: Rows;
  readonly held: HeldOut;
  readonly steps: number;
  readonly batchSize: number;
  readonly rate: (step: number) => number;
  readonly trainer: TrainerOptions<CurriculumBatch>;
  readonly signal: AbortSignal;
  readonly done: () => void;
}

/** Losses of all groups at the start, and after a run on each mixture, from the same start every time. */
export async function measureRuns(
  { model, rows, held, steps, batchSize, rate, trainer: options, signal, done }: GraphRuns,
  mixtures: readonly (readonly number[])[],
): Promise<{ start: number[]; after: number[][] }> {
  const weights = new Perturbation(model.gpu, model.trainable());
  weights.save();
  const start = await groupLosses(held, rows.names);
  const after: number[][] = [];
  for (const probs of mixtures) {
    const trainer = await Trainer.make(options);
    const source = new MixtureSource(rows, { batchSize, seed: options.seed, shuffle: true });
    source.probs = probs;
    for (let step = 1; step <= steps; step++) {
      signal.throwIfAborted();
      const { result } = await trainer.step(step, rate(step), [source.next().batch]);
      await result;
    }
    after.push(await groupLosses(held, rows.names));
    trainer.free();
    weights.restore();
    done();
  }
  await weights.free();
  return { start, after };
}
