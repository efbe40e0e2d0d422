/**
 * Training by the nearest of the rows that were seen last (`train --loss look`, `--loss knn`): the body learns that a
 * row's neighbours in a queue of features have its label. The classifier learns beside it, by cross-entropy on features
 * through which no gradient goes, so that the result answers as any other does: it is a linear probe of the body.
 */
import type { Batch } from "../../data/batch.ts";
import { lossWeights } from "../../data/targets.ts";
import { UserError } from "../../errors.ts";
import { fillInputs, fillTargets, recordInputs, recordTargets } from "../../run/batch-programs.ts";
import { unitRows } from "../../run/training/contrastive.ts";
import type { Controller } from "../../run/training/controller.ts";
import { FeatureQueue } from "../../run/training/feature-queue.ts";
import type { OwnLoss, OwnLossGiven } from "../../run/training/label-loss.ts";
import { type Objective, ofBatch, type RecordedLoss } from "../../run/training/objective.ts";
import { stopGradient } from "../../tensor/ops/elementwise.ts";
import { headLoss } from "../../tensor/ops/head-loss.ts";
import { linear } from "../../tensor/ops/linear.ts";
import { type Neighbours, neighbourLoss } from "../../tensor/ops/neighbours.ts";
import { dot } from "../../tensor/ops/reduce.ts";
import { dynamic } from "../../tensor/step.ts";

export interface QueueLoss {
  /** For messages. */
  readonly flag: string;
  /** Rows that the queue holds. */
  readonly queue: number;
  readonly neighbours: number;
  readonly form: Neighbours["form"];
  /** Of the first step and of the last; it goes from one to the other in equal steps. */
  readonly temperature: readonly [first: number, last: number];
}

const INVERSE = "neighbours_inverse_temperature";

/** Gives 1 / T of every step. */
const cooling = ([first, last]: QueueLoss["temperature"], steps: number): Controller => ({
  name: "neighbours-temperature",
  values: (step) => ({ [INVERSE]: 1 / (first + ((last - first) * (step - 1)) / Math.max(1, steps - 1)) }),
  state: () => null,
  load() {},
});

/** Throws UserError for a model that is no classifier, rows without places, and a queue that is too short. */
export function queueLoss(
  { model, softened, places, batch: rows, steps, recompute }: OwnLossGiven,
  { flag, queue: length, neighbours: k, form, temperature }: QueueLoss,
): OwnLoss {
  if (model.task !== "classifier" || !places)
    throw new UserError(
      `${flag} compares what a classifier's head reads of rows, and ${model.architecture.name} is a ${model.task}`,
      "train a classifier on rows of x, image or text and a label",
    );
  if (k > length)
    throw new UserError(`${flag}: ${k} neighbours of a queue of ${length} features`, "raise the queue's length");
  const { width, outputs } = model.sizes;
  const queue = new FeatureQueue(model.gpu, places, { rows: length, width, batch: rows });
  const objective: Objective<Batch> = {
    name: form,
    ...ofBatch((batch) => batch),

    record(rec, batch): RecordedLoss {
      const { features, tags, own } = queue.record(rec, batch);
      const { hidden, head } = model.record(rec, recordInputs(rec, batch), { recompute, statistics: "batch" });
      const targets = recordTargets(rec, batch);
      const weights = rec.input("weights", [batch.rows * batch.length]); // 1 / total where a row counts
      const units = unitRows(rec, hidden); // (N, C)
      const cosines = linear(rec, units, features); // (N, M)
      const loss = neighbourLoss(rec, cosines, { targets, own, tags, k, inverse: dynamic(INVERSE), form });
      queue.put(rec, batch, units);
      const probe = headLoss(rec, { hidden: stopGradient(rec, hidden), head, width: outputs, targets, ...softened });
      return {
        backward: [
          [loss, weights],
          [probe, weights],
        ],
        metrics: { loss: dot(rec, loss, weights), head_loss: dot(rec, probe, weights) },
      };
    },

    fill(program, batch, total) {
      fillInputs(program, batch);
      program.write("weights", lossWeights(batch, fillTargets(program, batch), total));
      queue.fill(program, batch);
    },
  };
  return { objective, updates: [queue], controllers: [cooling(temperature, steps)] };
}
