/**
 * Training of a mixture whose router learns which experts are right (`train --loss correctness`).
 *
 *   m_e = 1 where expert e is right; where none is, 1 of the expert that finds the label likeliest
 *   router:   mean over experts of the binary cross-entropy of g_e and m_e
 *   experts:  cross-entropy of those that the router holds the K likeliest
 *
 * Aspis et al., "DriftMoE", 2025, https://arxiv.org/abs/2507.18464, with networks in the place of Hoeffding trees. The
 * router learns at every step; as in the paper its dropout acts where it learns, and not where it chooses.
 */
import type { Batch } from "../../data/batch.ts";
import { lossWeights } from "../../data/targets.ts";
import { UserError } from "../../errors.ts";
import type { Model } from "../../model/model.ts";
import { fillInputs, fillTargets, recordInputs, recordTargets } from "../../run/batch-programs.ts";
import { type Objective, ofBatch, type RecordedLoss } from "../../run/training/objective.ts";
import { joinColumns, splitColumns } from "../../tensor/ops/columns.ts";
import { correctRows } from "../../tensor/ops/correct.ts";
import { crossEntropy, scoreTokens } from "../../tensor/ops/cross-entropy.ts";
import { add, addScalar, clamp, logSigmoid, mul, neg, scale } from "../../tensor/ops/elementwise.ts";
import { dot, rowSum } from "../../tensor/ops/reduce.ts";
import { chosenExperts } from "../../tensor/ops/router.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";

export interface CorrectnessOptions {
  /** K; all where there are fewer. */
  readonly perRow: number;
  readonly smoothing: number;
}

/** 1 - x. */
const complement = (rec: Recorder, x: Tensor): Tensor => addScalar(rec, neg(rec, x), 1);

/** Rows of 1 at the experts that are right, (N, E): logits (N, V) of each, targets (N). */
export function correctness(rec: Recorder, answers: readonly Tensor[], targets: Tensor): Tensor {
  const n = targets.shape[0] ?? 0;
  const column = (x: Tensor) => rec.reshape(x, [n, 1]);
  const right = joinColumns(
    rec,
    answers.map((logits) => column(correctRows(rec, logits, targets))),
  );
  const likelihood = joinColumns(
    rec,
    answers.map((logits) => column(neg(rec, scoreTokens(rec, logits, targets).nll))),
  );
  const none = column(complement(rec, clamp(rec, rowSum(rec, right), 0, 1)));
  return add(rec, right, chosenExperts(rec, likelihood, 1, none));
}

/** Binary cross-entropy of logits and marks, (N, E) each -> its mean over experts (N). */
export function markLoss(rec: Recorder, logits: Tensor, marks: Tensor): Tensor {
  const yes = mul(rec, logSigmoid(rec, logits), marks);
  const no = mul(rec, logSigmoid(rec, neg(rec, logits)), complement(rec, marks));
  return rowSum(rec, add(rec, yes, no), -1 / (logits.shape[1] ?? 1));
}

/** Throws UserError for a model without a router of classifiers. */
export function correctnessObjective(model: Model, { perRow, smoothing }: CorrectnessOptions): Objective<Batch> {
  if (model.architecture.name !== "mlp-experts")
    throw new UserError(
      `--loss correctness teaches a router which classifiers are right, and ${model.architecture.name} has none`,
      'begin with a config.json of "model_type": "mlp-experts", or leave it out',
    );
  const { outputs } = model.sizes;
  return {
    name: "correctness",
    ...ofBatch((batch) => batch),

    record(rec, batch): RecordedLoss {
      const { hidden, notes } = model.record(rec, recordInputs(rec, batch));
      const weights = rec.input("weights", [batch.rows]); // 1 / total where a row counts
      const targets = recordTargets(rec, batch);
      const router = notes.get("router")!;
      const experts = router.shape[1]!;
      const answers = splitColumns(rec, notes.get("experts")!, Array(experts).fill(outputs));
      const marks = correctness(rec, answers, targets);
      const ones = rec.constant(new Float32Array(batch.rows).fill(1), [batch.rows, 1], "ones");
      const learning = splitColumns(
        rec,
        chosenExperts(rec, router, Math.min(perRow, experts), ones),
        Array(experts).fill(1),
      );
      const losses = answers.map((logits, e) => {
        const nll = crossEntropy(rec, logits, targets, smoothing ? { smoothing } : {});
        return mul(rec, nll, rec.reshape(learning[e]!, [batch.rows]));
      });
      const expertLoss = losses.reduce((a, b) => add(rec, a, b)); // (N)
      const routerLoss = markLoss(rec, notes.get("router.dropped")!, marks); // (N)
      const answer = scoreTokens(rec, hidden, targets);
      const known = clamp(
        rec,
        rowSum(
          rec,
          joinColumns(
            rec,
            answers.map((logits) => rec.reshape(correctRows(rec, logits, targets), [batch.rows, 1])),
          ),
        ),
        0,
        1,
      );
      return {
        backward: [
          [expertLoss, weights],
          [routerLoss, weights],
        ],
        metrics: {
          loss: dot(rec, answer.nll, weights),
          accuracy: dot(rec, correctRows(rec, hidden, targets), weights),
          known: dot(rec, known, weights),
          router_loss: dot(rec, routerLoss, weights),
          expert_loss: scale(rec, dot(rec, expertLoss, weights), 1 / Math.min(perRow, experts)),
        },
      };
    },

    fill(program, batch, total) {
      fillInputs(program, batch);
      program.write("weights", lossWeights(batch, fillTargets(program, batch), total));
    },
  };
}
