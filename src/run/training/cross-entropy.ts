/** The objective of training on labels: mean cross-entropy of the tokens, or of the examples, that count. */
import type { Batch } from "../../data/batch.ts";
import { meanWeights } from "../../data/targets.ts";
import type { Model } from "../../model/model.ts";
import { add, mul } from "../../tensor/ops/elementwise.ts";
import { headLoss } from "../../tensor/ops/head-loss.ts";
import { dot } from "../../tensor/ops/reduce.ts";
import { fillInputs, fillTargets, recordInputs, recordTargets } from "../batch-programs.ts";
import { type Objective, ofBatch, type RecordedLoss } from "./objective.ts";
import { routerBalance } from "./router-balance.ts";

export interface CrossEntropyObjectiveOptions {
  /** Label smoothing, 0 to 1. */
  readonly smoothing?: number;
  /** Weight of the squared log-partition. */
  readonly zLoss?: number;
  /** Whether activations are computed a second time on the way back. */
  readonly recompute?: boolean;
  /** Whether experts are balanced where the config asks for it. */
  readonly balance?: boolean;
  /** Most bytes of logits that exist at once. */
  readonly logitBytes?: number;
}

/** Cross-entropy of a language model's tokens or a classifier's examples. */
export function crossEntropyObjective(model: Model, options: CrossEntropyObjectiveOptions = {}): Objective<Batch> {
  const { smoothing, zLoss, recompute = false, logitBytes } = options;
  const experts = options.balance ? routerBalance(model) : undefined;
  return {
    name: "cross-entropy",
    ...ofBatch((batch) => batch),

    record(rec, batch): RecordedLoss {
      const recorded = model.record(rec, recordInputs(rec, batch), { recompute });
      const { hidden, head } = recorded;
      const weights = rec.input("weights", [batch.rows * batch.length]); // 1 / total where a row counts
      const nll = headLoss(rec, {
        hidden,
        head,
        width: model.sizes.outputs,
        targets: recordTargets(rec, batch),
        ...(smoothing ? { smoothing } : {}),
        ...(zLoss ? { zLoss } : {}),
        ...(logitBytes ? { budget: logitBytes } : {}),
      }); // (N)
      const loss = dot(rec, nll, weights);
      const balance = experts?.record(rec, batch, recorded);
      if (!balance) return { backward: [[nll, weights]], metrics: { loss } };
      const added = mul(rec, ...balance);
      return { backward: [[nll, weights], balance], metrics: { loss: add(rec, loss, added), balance_loss: added } };
    },

    fill(program, batch, total) {
      fillInputs(program, batch);
      program.write("weights", meanWeights(fillTargets(program, batch), total));
      experts?.fill(program, batch, batch.counted / total);
    },
  };
}
