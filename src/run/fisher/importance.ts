/**
 * Importance of every weight to a set of rows: the mean over batches of the squared gradient of their loss. With
 * batches of one row it is the diagonal of the empirical Fisher matrix; larger batches give smaller values, so two sets
 * compare only at one batch size.
 *
 * GPU memory: gradients and importances, f32, each as large as the weights.
 */

import type { Batch } from "../../data/batch.ts";
import { UserError } from "../../errors.ts";
import type { PooledBuffer } from "../../gpu/buffer.ts";
import type { Model } from "../../model/model.ts";
import { square } from "../../tensor/ops/elementwise.ts";
import { chunkedHead } from "../../tensor/ops/head-loss.ts";
import { dot, rowSum } from "../../tensor/ops/reduce.ts";
import type { Parameter } from "../../tensor/parameter.ts";
import { recordInputs, recordTargets } from "../batch-programs.ts";
import { Programs } from "../programs.ts";
import { crossEntropyObjective } from "../training/cross-entropy.ts";
import type { Objective } from "../training/objective.ts";
import { SquaredGradients } from "./squared-gradients.ts";

export class Importance {
  readonly of: ReadonlyMap<Parameter, PooledBuffer>;
  /** Rows it was measured on. */
  readonly rows: number;
  /** Rows of a gradient that was squared; 0 when unknown. */
  readonly batch: number;

  constructor(of: ReadonlyMap<Parameter, PooledBuffer>, rows: number, batch: number) {
    this.of = of;
    this.rows = rows;
    this.batch = batch;
  }

  free(): void {
    for (const held of this.of.values()) held.free();
  }
}

/** The loss whose gradient is measured: cross-entropy, or without labels the mean of |logits|^2. */
function lossOf(model: Model, labelFree: boolean): Objective<Batch> {
  const plain = crossEntropyObjective(model);
  if (!labelFree) return plain;
  return {
    ...plain,
    name: "logits",
    record(rec, batch) {
      const { hidden, head } = model.record(rec, recordInputs(rec, batch));
      recordTargets(rec, batch);
      const losses = chunkedHead(rec, {
        hidden,
        head,
        width: model.sizes.outputs,
        along: [],
        loss: (logits) => rowSum(rec, square(rec, logits)),
      });
      const mean = rec.input("weights", [batch.rows * batch.length]);
      return { backward: [[losses, mean]], metrics: { loss: dot(rec, losses, mean) } };
    },
  };
}

/** Measures on batches. `labelFree`: gradients of |logits|^2, and their magnitudes instead of squares. */
export async function measureImportance(
  model: Model,
  batches: readonly Batch[],
  {
    labelFree,
    signal,
    done,
  }: { readonly labelFree: boolean; readonly signal: AbortSignal; readonly done?: () => void },
): Promise<Importance> {
  const { gpu } = model;
  const parameters = model.trainable();
  const objective = lossOf(model, labelFree);
  const sums = await SquaredGradients.make(gpu, parameters, { magnitude: labelFree });
  const programs = new Programs(gpu, { training: true });
  let rows = 0;
  for (const batch of batches) {
    signal.throwIfAborted();
    const { program } = await programs.get(objective.key(batch), (rec) => {
      const { backward, metrics } = objective.record(rec, batch, "");
      rec.output("loss", metrics.loss!);
      rec.backward(backward);
    });
    objective.fill(program, batch, objective.counted(batch, ""), "");
    program.run({ accumulate: 0, seed: 0 });
    sums.add(1 / batches.length);
    const [loss] = await program.read("loss"); // keeps the queue of work bounded
    if (!Number.isFinite(loss))
      throw new UserError(
        `the loss on rows ${rows + 1} to ${rows + batch.rows} is ${loss}`,
        "the model's own weights are not finite, or these rows are not for it",
        1,
      );
    rows += batch.rows;
    done?.();
  }
  programs.free();
  sums.finish();
  return new Importance(sums.of, rows, Math.max(0, ...batches.map((batch) => batch.rows)));
}
