/** The objective of `train --loss rep-mtl`: squared errors with regularisers of saliency. */
import type { Batch } from "../../data/batch.ts";
import { meanWeights, targetsOf } from "../../data/targets.ts";
import type { Model } from "../../model/model.ts";
import { fillInputs, fillNumbers, recordInputs, recordNumbers } from "../../run/batch-programs.ts";
import { type Objective, ofBatch } from "../../run/training/objective.ts";
import { add, scale, square, sub } from "../../tensor/ops/elementwise.ts";
import { dot, rowSum } from "../../tensor/ops/reduce.ts";
import type { Parameter } from "../../tensor/parameter.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { saliencyAlignment, saliencyEntropy } from "./saliency.ts";

export interface SaliencyWeights {
  readonly tsr: number;
  readonly csa: number;
  readonly tau: number;
}

/** A term of weight 0 is left out, and both where there is one task: they are constant then. */
export function saliencyObjective(model: Model, head: Parameter, { tsr, csa, tau }: SaliencyWeights): Objective<Batch> {
  const { outputs } = model.sizes;
  return {
    name: "rep-mtl",
    ...ofBatch<Batch>((batch) => batch),

    record(rec, batch) {
      const { hidden, head: headOf } = model.record(rec, recordInputs(rec, batch), { statistics: "batch" });
      const errors = sub(rec, headOf(hidden), recordNumbers(rec, batch, outputs)); // (B, K)
      const losses = rowSum(rec, square(rec, errors), 1 / outputs);
      const weights = rec.input("weights", [batch.rows]); // 1 / total
      const mse = dot(rec, losses, weights);
      const terms = {
        ...(tsr > 0 && outputs > 1
          ? { tsr_loss: scale(rec, saliencyEntropy(rec, errors, rec.parameter(head)), tsr) }
          : {}),
        ...(csa > 0 && outputs > 1
          ? { csa_loss: scale(rec, saliencyAlignment(rec, errors, rec.parameter(head), tau), csa) }
          : {}),
      };
      const list: Tensor[] = Object.values(terms);
      const one = rec.constant(Float32Array.of(1), [1], "one");
      return {
        backward: [[losses, weights], ...list.map((term) => [term, one] as const)],
        metrics: { loss: list.reduce((a, b) => add(rec, a, b), mse), mse, ...terms },
      };
    },

    fill(program, batch, total) {
      fillInputs(program, batch);
      fillNumbers(program, batch);
      program.write("weights", meanWeights(targetsOf(batch), total));
    },
  };
}
