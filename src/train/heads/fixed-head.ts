/**
 * Training against a fixed head (`train --head sparse-etf`): the body follows the cross-entropy of the fixed head
 * alone, and the model's own head that of its own logits, whose gradient ends before the body. So a long-tailed set of
 * rows pulls the head out of balance and not the body; `merge --method norm_realign` gives the head its balance.
 *
 * Xiao et al., ICLR 2024, https://arxiv.org/abs/2401.08977
 */
import type { Batch } from "../../data/batch.ts";
import { lossWeights } from "../../data/targets.ts";
import { UserError } from "../../errors.ts";
import type { Model } from "../../model/model.ts";
import { fillInputs, fillTargets, recordInputs, recordTargets } from "../../run/batch-programs.ts";
import { type Objective, ofBatch, type RecordedLoss } from "../../run/training/objective.ts";
import { stopGradient } from "../../tensor/ops/elementwise.ts";
import { headLoss } from "../../tensor/ops/head-loss.ts";
import { linear } from "../../tensor/ops/linear.ts";
import { dot } from "../../tensor/ops/reduce.ts";
import type { PrivateHead } from "./private-head.ts";
import { sparseEtf } from "./sparse-etf.ts";

export interface FixedHeadOptions {
  readonly sparsity: number;
  readonly steps: number;
  readonly seed: number;
  readonly smoothing: number;
  readonly zLoss: number;
  readonly recompute: boolean;
  /** Trained as the own head is. */
  readonly private?: PrivateHead | undefined;
}

/** Throws UserError for a model that is no classifier. */
export function fixedHeadObjective(model: Model, options: FixedHeadOptions): Objective<Batch> {
  const { sparsity, steps, seed, smoothing, zLoss, recompute, private: second } = options;
  if (model.task !== "classifier")
    throw new UserError(
      `--head sparse-etf is for classifiers, and ${model.architecture.name} is a ${model.task}`,
      "leave it out",
    );
  const { outputs: classes } = model.sizes;
  let rows: Float32Array | undefined;
  return {
    name: "fixed head",
    ...ofBatch((batch) => batch),

    record(rec, batch): RecordedLoss {
      const { hidden, head } = model.record(rec, recordInputs(rec, batch), { recompute });
      const width = hidden.shape.at(-1)!;
      rows ??= Float32Array.from(sparseEtf({ classes, width, sparsity, steps, seed }).flatMap((row) => [...row]));
      const fixed = rec.constant(rows, [classes, width], "fixed head");
      const targets = recordTargets(rec, batch);
      const weights = rec.input("weights", [batch.rows * batch.length]); // 1 / total where a row counts
      const given = { width: classes, targets, smoothing, zLoss };
      const body = headLoss(rec, { ...given, hidden, head: (x) => linear(rec, x, fixed) }); // (N)
      const features = stopGradient(rec, hidden);
      const own = headLoss(rec, { ...given, hidden: features, head }); // (N)
      const behind = second && headLoss(rec, { ...given, hidden: features, head: (x) => second.logits(rec, head, x) });
      const losses = [body, own, ...(behind ? [behind] : [])];
      return {
        backward: losses.map((loss) => [loss, weights] as const),
        metrics: {
          loss: dot(rec, own, weights),
          fixed_head_loss: dot(rec, body, weights),
          ...(behind ? { private_loss: dot(rec, behind, weights) } : {}),
        },
      };
    },

    fill(program, batch, total) {
      fillInputs(program, batch);
      program.write("weights", lossWeights(batch, fillTargets(program, batch), total));
    },
  };
}
