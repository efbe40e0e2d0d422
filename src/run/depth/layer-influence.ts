/** How much each layer of a stack changes what comes to it. */
import type { Batch } from "../../data/batch.ts";
import { UserError } from "../../errors.ts";
import type { Model } from "../../model/model.ts";
import { div, maximum, mul, sqrt } from "../../tensor/ops/elementwise.ts";
import { rowSum } from "../../tensor/ops/reduce.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { fillInputs, recordInputs } from "../batch-programs.ts";
import { maskOf } from "../gram/gram-matrices.ts";
import { Programs } from "../programs.ts";
import { crossEntropyObjective } from "../training/cross-entropy.ts";

/** Cosine of every row of a and b, (N); 0 where one of them is 0. */
function cosines(rec: Recorder, a: Tensor, b: Tensor): Tensor {
  const norms = sqrt(rec, mul(rec, rowSum(rec, mul(rec, a, a)), rowSum(rec, mul(rec, b, b))));
  const least = rec.constant(Float32Array.of(1e-30), [1], "least product of norms");
  return div(rec, rowSum(rec, mul(rec, a, b)), maximum(rec, norms, least));
}

/**
 * 1 - the mean cosine of a layer's input and output over all tokens that are no padding, by layer. Means are f64 on the
 * host. Men et al. 2024, https://arxiv.org/abs/2403.03853
 */
export async function blockInfluences(
  model: Model,
  batches: readonly Batch[],
  { signal, done }: { readonly signal: AbortSignal; readonly done?: (rows: number) => void },
): Promise<number[]> {
  const { layers } = model.sizes;
  const { key } = crossEntropyObjective(model);
  const programs = new Programs(model.gpu);
  const names = Array.from({ length: layers }, (_, layer) => `cosines of ${layer}`);
  const sums = new Float64Array(layers);
  let tokens = 0;
  try {
    for (const batch of batches) {
      signal.throwIfAborted();
      const { program } = await programs.get(key(batch), (rec) => {
        const { notes } = model.record(rec, recordInputs(rec, batch));
        for (const [layer, name] of names.entries()) {
          const [before, after] = [notes.get(`hidden.${layer}`), notes.get(`hidden.${layer + 1}`)];
          if (!before || !after || before.shape.join() !== after.shape.join())
            throw new UserError("the model has no stack of layers of one width", "name a transformer");
          rec.output(name, cosines(rec, before, after));
        }
      });
      fillInputs(program, batch);
      program.run();
      const read = await Promise.all(names.map((name) => program.read(name)));
      const mask = maskOf(batch);
      tokens += mask ? mask.reduce((a, b) => a + b, 0) : read[0]!.length;
      for (const [layer, values] of read.entries())
        sums[layer]! += values.reduce((sum, value, i) => sum + (mask ? mask[i]! : 1) * value, 0);
      done?.(batch.rows);
    }
  } finally {
    programs.free();
  }
  return Array.from(sums, (sum) => 1 - sum / tokens);
}
