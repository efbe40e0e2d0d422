/** The objective of a reward model: what the head says of all rows at once, and a method's loss of it. */
import { batchKey, placesOf, type TokenBatch } from "../../data/batch.ts";
import type { Bound } from "../../method/bind.ts";
import type { Model } from "../../model/model.ts";
import { fillInputs, recordInputs } from "../../run/batch-programs.ts";
import type { Objective } from "../../run/training/objective.ts";
import { splitColumns } from "../../tensor/ops/columns.ts";
import { stopGradient } from "../../tensor/ops/elementwise.ts";
import { dot } from "../../tensor/ops/reduce.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import { sizeOf, type Tensor } from "../../tensor/tensor.ts";
import type { RewardBatch } from "./batches.ts";
import type { RewardLoss, RewardMethod } from "./contract.ts";

export interface RewardSetup {
  readonly model: Model;
  readonly chosen: Bound<RewardMethod>;
  /** Whether activations are computed a second time on the way back. */
  readonly recompute: boolean;
}

/** (2P, L) as its first P rows and its last. */
function halves(rec: Recorder, x: Tensor): [Tensor, Tensor] {
  const [rows = 0, width = 0] = x.shape;
  const half = sizeOf(x.shape) / 2;
  const parts = splitColumns(rec, rec.reshape(x, [1, 2 * half]), [half, half]);
  return parts.map((part) => rec.reshape(part, [rows / 2, width])) as [Tensor, Tensor];
}

/** Ends of steps. A head of tokens reads the label where it stands, not that of the next token. */
const stepsIn = ({ labels }: TokenBatch): number => labels.filter((label) => label >= 0).length;

export function rewardObjective({ model, chosen: { method, values }, recompute }: RewardSetup): Objective<RewardBatch> {
  const { reads } = method;
  const counted = ({ tokens, numbers }: RewardBatch) => (reads === "steps" ? stepsIn(tokens) : numbers.length);

  /** Logits (rows, labels), or of all tokens (N, labels). */
  function lossOf(rec: Recorder, logits: Tensor, { tokens, numbers }: RewardBatch): RewardLoss {
    if (method.reads === "steps") {
      const targets = rec.input("targets", [tokens.rows * tokens.length], "i32");
      return method.loss(rec, { logits, targets, values });
    }
    if (method.reads === "scores")
      return method.loss(rec, { rewards: logits, scores: rec.input("numbers", [numbers.length, 1]), values });
    const [chosen, rejected] = halves(rec, logits);
    return method.loss(rec, { chosen, rejected, margins: rec.input("numbers", [numbers.length]), values });
  }

  return {
    name: method.name,
    key: ({ tokens }) => batchKey(tokens),
    counted,
    size: ({ tokens }) => tokens.rows * tokens.length,
    describe: ({ tokens }) => placesOf(tokens),

    record(rec, batch) {
      const { hidden, head } = model.record(rec, recordInputs(rec, batch.tokens), { recompute });
      const { losses, metrics } = lossOf(rec, head(hidden), batch);
      const weights = rec.input("weights", losses.shape); // 1 / total where something counts
      const means = Object.entries(metrics).map(
        ([name, x]) => [name, dot(rec, stopGradient(rec, x), weights)] as const,
      );
      return {
        backward: [[losses, weights]],
        metrics: { loss: dot(rec, losses, weights), ...Object.fromEntries(means) },
      };
    },

    fill(program, batch, total) {
      const { tokens, numbers } = batch;
      fillInputs(program, tokens);
      if (program.takes("numbers")) program.write("numbers", numbers);
      if (program.takes("targets")) program.write("targets", tokens.labels);
      program.write(
        "weights",
        reads === "steps"
          ? Float32Array.from(tokens.labels, (label) => (label < 0 ? 0 : 1 / total))
          : new Float32Array(numbers.length).fill(1 / total),
      );
    },
  };
}
