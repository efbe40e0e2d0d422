/**
 * Methods that hold weights to where they were after the stage before: they differ in how much each weight counts.
 *
 *   lambda / 2 sum_i F_i (theta_i - theta*_i)^2, from the second stage on
 */
import type { Batch } from "../../data/batch.ts";
import { permutation } from "../../data/shuffle.ts";
import type { Json } from "../../json.ts";
import type { Options } from "../../method/options.ts";
import { type FisherLabels, measureFisher } from "../../run/fisher/fisher.ts";
import { Anchor } from "../../run/training/rules/anchor.ts";
import { QuadraticPenalty } from "../../run/training/rules/quadratic-penalty.ts";
import type { Learner, Stage, Stream } from "./contract.ts";

/** Options of methods that measure importances on rows. */
export const MEASURED = {
  importance_rows: {
    type: "number.integer >= 1",
    default: 200,
    help: "rows of a task on which importances are measured, drawn by seed; all where it has fewer",
    value: "N",
  },
  gamma: {
    type: "0 <= number <= 1",
    default: 0.9,
    help: "how much importances of earlier tasks count after each further one: F <- gamma F + F_new",
  },
} as const satisfies Options;

export interface PenaltyLearner {
  readonly name: string;
  readonly lambda: number;
  /** Adds what a stage tells of importances, at the weights that it led to; every weight counts as 1 when left out. */
  gather?(anchor: Anchor, stage: Stage): Promise<void>;
}

/** The learner of such a method. */
export function penaltyLearner(
  { gpu, model, dry }: Pick<Stream<unknown>, "gpu" | "model" | "dry">,
  { name, lambda, gather }: PenaltyLearner,
): Learner {
  let anchor: Anchor | undefined;
  const made = () => new Anchor(gpu, model.trainable(), { weighed: gather !== undefined });
  return {
    stage: () => ({
      updates: anchor && lambda > 0 ? [new QuadraticPenalty(gpu, anchor, { weight: lambda, name })] : [],
    }),
    async learned(stage) {
      if (stage.isLast || lambda === 0) return;
      anchor ??= made();
      if (!dry) await gather?.(anchor, stage);
      anchor.take();
    },
    state: (): Json => ({ anchored: anchor !== undefined }),
    load(state) {
      if ((state as { anchored?: boolean } | null)?.anchored) anchor = made();
    },
    kept: () => anchor?.kept ?? [],
    memory: () => ({ anchor: anchor?.bytes ?? 0 }),
    free: () => anchor?.free(),
  };
}

/** Rows of a stage for a measurement, a batch of one each. */
export function measuredRows(
  { rows, seed, values }: Pick<Stream<{ readonly importance_rows: number }>, "rows" | "seed" | "values">,
  stage: Stage,
): Batch[] {
  const all = rows.of(stage.tasks);
  const drawn = permutation(all.length, seed, stage.index, "importance rows").subarray(0, values.importance_rows);
  return Array.from(drawn.toSorted(), (i) => rows.batch([[all[i]!]]).batch).filter(({ counted }) => counted > 0);
}

/** Adds the Fisher information of a stage's rows to an anchor: F <- gamma F + F_task. */
export const gatherFisher =
  (
    stream: Pick<
      Stream<{ readonly importance_rows: number; readonly gamma: number }>,
      "model" | "rows" | "seed" | "values" | "signal"
    >,
    labels: FisherLabels,
  ) =>
  async (anchor: Anchor, stage: Stage): Promise<void> => {
    const { model, values, seed, signal } = stream;
    const found = await measureFisher(model, measuredRows(stream, stage), { labels, seed: seed + stage.index, signal });
    await anchor.add((parameter) => found.of.get(parameter)!.buffer, values.gamma);
    found.free();
  };
