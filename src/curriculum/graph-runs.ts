/** Short runs that measure how skills help each other: the losses that graph.ts makes a graph of. */
import type { Model } from "../model/model.ts";
import type { HeldOut } from "../run/training/held-out.ts";
import { Perturbation } from "../run/training/perturbation.ts";
import { Trainer, type TrainerOptions } from "../run/training/trainer.ts";
import { checkFinite, groupLosses } from "./losses.ts";
import type { CurriculumBatch, Rows } from "./source.ts";
import { MixtureSource } from "./source.ts";

export interface GraphRuns {
  /** What the model is called. */
  readonly ref: string;
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

/**
 * Losses of all groups at the start, and after a run on each mixture, from the same start every time. Throws UserError (exit 1) when one
 * is no number.
 */
export async function measureRuns(
  { ref, model, rows, held, steps, batchSize, rate, trainer: options, signal, done }: GraphRuns,
  mixtures: readonly (readonly number[])[],
): Promise<{ start: number[]; after: number[][] }> {
  const weights = new Perturbation(model.gpu, model.trainable());
  weights.save();
  const start = await groupLosses(held, rows.names);
  checkFinite(start, rows.names, ref, `bun run inspect ${ref} --check looks for NaN in its weights`);
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
    const losses = await groupLosses(held, rows.names);
    const on = rows.names.filter((_, g) => probs[g]! > 0).join(" and ");
    checkFinite(losses, rows.names, `${ref} after ${steps} steps on ${on}`, "lower --lr, or give --clip 1");
    after.push(losses);
    trainer.free();
    weights.restore();
    done();
  }
  await weights.free();
  return { start, after };
}
