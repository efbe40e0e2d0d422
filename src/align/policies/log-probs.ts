/** Log-probabilities of answers as recorded steps: the same ones for training, for the old policy and the reference. */
import type { TokenBatch } from "../../data/batch.ts";
import type { Model } from "../../model/model.ts";
import { recordInputs, recordTargets } from "../../run/batch-programs.ts";
import { RowMetrics } from "../../run/training/row-metrics.ts";
import { crossEntropy } from "../../tensor/ops/cross-entropy.ts";
import { rowEntropy, trainedEntropy } from "../../tensor/ops/distribution.ts";
import { neg, scale } from "../../tensor/ops/elementwise.ts";
import { chunkedHeads } from "../../tensor/ops/head-loss.ts";
import type { Dynamic, Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";

/**
 * Log-probabilities of the targets (B, T) at a temperature, or one whose inverse is a number of the run; tells the mean
 * entropy, in nats, beside them. With `entropies` that of every token (B, T) takes a gradient, too.
 */
export function logProbsOf(
  rec: Recorder,
  model: Model,
  batch: TokenBatch,
  how: {
    readonly temperature: number | Dynamic;
    readonly recompute?: boolean;
    readonly adapter?: boolean;
    readonly entropies?: boolean;
  },
): {
  readonly logProbs: Tensor;
  readonly hidden: Tensor;
  readonly notes: RowMetrics;
  readonly entropies: Tensor | undefined;
} {
  const { temperature, entropies: trained = false, ...options } = how;
  const cooling = typeof temperature === "number" ? 1 / temperature : temperature;
  const { hidden, head } = model.record(rec, recordInputs(rec, batch), options);
  const notes = new RowMetrics(rec);
  const [nll, entropies] = chunkedHeads(rec, {
    hidden,
    head,
    width: model.sizes.outputs,
    along: [recordTargets(rec, batch)],
    losses(logits, [targets]) {
      const cooled = temperature === 1 ? logits : scale(rec, logits, cooling);
      const entropy = (trained ? trainedEntropy : rowEntropy)(rec, cooled);
      notes.chunk(targets!);
      notes.add("entropy", entropy);
      const own = crossEntropy(rec, cooled, targets!);
      return trained ? [own, entropy] : [own];
    },
  });
  const shape = [batch.rows, batch.length];
  return {
    logProbs: neg(rec, rec.reshape(nll!, shape)),
    hidden,
    notes,
    entropies: entropies && rec.reshape(entropies, shape),
  };
}
