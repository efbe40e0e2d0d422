/** Short runs that measure how skills help each other: the losses that graph.ts makes a graph of. */
import type { HeldOut } from "../run/training/held-out.ts";
import { Perturbation } from "../run/training/perturbation.ts";
import { type TrainingOptions, trainModel } from "../run/training/train-model.ts";
import { checkFinite, groupLosses } from "./losses.ts";
import type { CurriculumBatch, Rows } from "./source.ts";
import { MixtureSource } from "./source.ts";

export interface GraphRuns {
  /** What the model is called. */
  readonly ref: string;
  readonly rows: Rows;
  readonly held: HeldOut;
  readonly batchSize: number;
  readonly training: Omit<TrainingOptions<CurriculumBatch>, "source">;
  readonly signal: AbortSignal;
  /** Hears the end of every run. */
  readonly done: () => void;
}

/**
 * Losses of all groups at the start, and after a run on each mixture, from the same start every time. Throws UserError (exit 1) when one
 * is not a number.
 */
export async function measureRuns(
  { ref, rows, held, batchSize, training, signal, done }: GraphRuns,
  mixtures: readonly (readonly number[])[],
): Promise<{ start: number[]; after: number[][] }> {
  const { model, seed, steps } = training;
  const weights = new Perturbation(model.gpu, model.trainable());
  weights.save();
  const start = await groupLosses(held, rows.names);
  checkFinite(start, rows.names, ref, `bun run inspect ${ref} --check looks for NaN in its weights`);
  const after: number[][] = [];
  const advice = "lower --lr, or give --clip 1";
  for (const probs of mixtures) {
    const on = rows.names.filter((_, g) => probs[g]! > 0).join(" and ");
    const source = new MixtureSource(rows, { batchSize, seed, shuffle: true });
    source.probs = probs;
    await trainModel({ ...training, source, signal, name: `${ref} on ${on}`, advice });
    signal.throwIfAborted();
    const losses = await groupLosses(held, rows.names);
    checkFinite(losses, rows.names, `${ref} after ${steps} steps on ${on}`, advice);
    after.push(losses);
    weights.restore();
    done();
  }
  weights.free();
  return { start, after };
}
