/** What coefficients are learnt from: the loss of a task's rows, by the merged model with the task's head. */
import { type Batch, isTokens } from "../../data/batch.ts";
import { meanWeights } from "../../data/targets.ts";
import type { Model } from "../../model/model.ts";
import { fillInputs, fillTargets, recordInputs, recordTargets } from "../../run/batch-programs.ts";
import { type Objective, ofBatch } from "../../run/training/objective.ts";
import { dot } from "../../tensor/ops/reduce.ts";
import type { TuneLoss } from "./loss.ts";

/** The mean loss of the rows that count: tokens that a training would count, or all examples. */
export function taskObjective(
  loss: TuneLoss,
  { model, expert }: { readonly model: Model; readonly expert: Model | undefined },
): Objective<Batch> {
  return {
    name: "tuning",
    ...ofBatch((batch) => batch),

    record(rec, batch) {
      const inputs = recordInputs(rec, batch);
      const { hidden, head } = model.record(rec, inputs);
      const targets = recordTargets(rec, batch);
      const weights = rec.input("weights", [batch.rows * batch.length]);
      const own = expert?.record(rec, inputs);
      const losses = loss.record(rec, { hidden, head, width: model.sizes.outputs, targets, expert: own }); // (N)
      return { backward: [[losses, weights]], metrics: { loss: dot(rec, losses, weights) } };
    },

    fill(program, batch, total) {
      fillInputs(program, batch);
      if (loss.needsLabels || isTokens(batch)) {
        program.write("weights", meanWeights(fillTargets(program, batch), total));
        return;
      }
      // Examples count whatever their labels are.
      program.write("targets", new Int32Array(batch.rows));
      program.write("weights", new Float32Array(batch.rows).fill(1 / total));
    },
  };
}
