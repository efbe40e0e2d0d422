/** The objective of training on numbers: the mean over rows of a loss of a regressor's errors. */
import type { Batch } from "../../data/batch.ts";
import { lossWeights, targetsOf } from "../../data/targets.ts";
import { UserError } from "../../errors.ts";
import type { Bound } from "../../method/bind.ts";
import type { Model } from "../../model/model.ts";
import { sub } from "../../tensor/ops/elementwise.ts";
import { dot } from "../../tensor/ops/reduce.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { fillInputs, fillNumbers, recordInputs, recordNumbers } from "../batch-programs.ts";
import type { LabelLoss } from "./label-loss.ts";
import { type Objective, ofBatch } from "./objective.ts";

/** `replace` gives the tensor that takes the place of a noted one. Throws UserError for a loss of labels. */
export function regressionObjective(
  model: Model,
  { method, values }: Bound<LabelLoss>,
  replace?: (rec: Recorder) => (name: string, x: Tensor) => Tensor,
): Objective<Batch> {
  const { errors: lossOf } = method;
  if (!lossOf)
    throw new UserError(
      `--loss ${method.name} is a loss of labels, and the model predicts numbers (problem_type regression)`,
      "--loss mse, mae, huber and pseudo-huber are losses of numbers",
    );
  const { outputs } = model.sizes;
  const of = ofBatch<Batch>((batch) => batch);
  return {
    name: method.name,
    ...of,
    record(rec, batch) {
      const { hidden, head } = model.record(rec, recordInputs(rec, batch), {
        statistics: "batch",
        ...(replace ? { replace: replace(rec) } : {}),
      });
      const errors = sub(rec, head(hidden), recordNumbers(rec, batch, outputs)); // (B, K)
      const losses = lossOf(rec, { errors, values });
      const weights = rec.input("weights", [batch.rows]); // 1 / total
      return { backward: [[losses, weights]], metrics: { loss: dot(rec, losses, weights) } };
    },
    fill(program, batch, total) {
      fillInputs(program, batch);
      fillNumbers(program, batch);
      program.write("weights", lossWeights(batch, targetsOf(batch), total));
    },
  };
}
