/**
 * Sketches of the gradients of a classifier's outputs: of weighted sums of the logits of examples of numbers, by all
 * trained weights.
 */
import { batchKey, stackExamples } from "../../data/batch.ts";
import type { Example } from "../../data/examples.ts";
import type { Model } from "../../model/model.ts";
import { mul } from "../../tensor/ops/elementwise.ts";
import { fillInputs, recordInputs } from "../batch-programs.ts";
import { Programs } from "../programs.ts";
import { notFiniteGradient, Sketcher, type SketchSettings } from "./gradient-sketches.ts";

/** A sum of an example's logits. */
export interface OutputSum {
  readonly example: Example;
  /** (C) */
  readonly weights: Float32Array;
}

/** The sketch (width) of each sum's gradient, in order. Throws UserError (exit 1) for one that is not finite. */
export async function* outputSketches<T extends OutputSum>(
  model: Model,
  sums: readonly T[],
  settings: SketchSettings & { readonly signal: AbortSignal },
): AsyncGenerator<readonly [T, Float64Array]> {
  const gradients = new Programs(model.gpu, { training: true });
  const leave = async ({ example, weights }: T) => {
    settings.signal.throwIfAborted();
    const batch = stackExamples([example]);
    const { program } = await gradients.get(batchKey(batch), (rec) => {
      const { hidden, head } = model.record(rec, recordInputs(rec, batch), { statistics: "running" });
      const logits = head(hidden); // (1, C)
      const of = rec.input("weights of outputs", logits.shape);
      rec.output("sum", mul(rec, logits, of));
      rec.backward([[logits, of]]);
    });
    fillInputs(program, batch);
    program.write("weights of outputs", weights);
    program.run({ accumulate: 0, seed: 0 });
  };
  try {
    for await (const [sum, sketch] of new Sketcher(model, settings).of(sums, leave)) {
      if (!sketch.every(Number.isFinite)) throw notFiniteGradient(sum.example.place);
      yield [sum, sketch];
    }
  } finally {
    gradients.free();
  }
}
