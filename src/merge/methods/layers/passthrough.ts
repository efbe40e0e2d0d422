/**
 * Passthrough: tensors as they are, optionally scaled; what stacks of layers ("frankenmerges") are made with.
 *
 * Conventions of mergekit's `passthrough` (https://github.com/arcee-ai/mergekit).
 */
import { mergeMethod } from "../../contract.ts";

export const method = mergeMethod({
  name: "passthrough",
  title: "Passthrough",
  about: "tensors as they are, for stacking layers; optionally scaled",
  cite: "mergekit",
  laws: {
    equalInputs: true,
    equalModels: true,
    order: "merges one model",
    baseAtZero: "knows no base",
    homogeneous: true,
  },
  models: [1, 1],
  base: "none",
  heights: "equal",
  passes: "one",
  options: {
    scale: { type: "number", per: "model", help: "factor; left out, bytes are copied" },
  },

  /** One pass; without a scale and a change of type the bytes are copied. */
  async merge(job) {
    const scale = job.values.scale[0];
    const entry = job.task.models[0]!;
    if (scale === undefined && job.copies(entry)) return job.copy(entry);
    await job.combine([scale ?? 1]);
  },
});
