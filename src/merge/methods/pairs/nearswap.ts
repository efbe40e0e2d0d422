/**
 * NearSwap: take the other model where it is close to the base, less of it the further away it is.
 *
 * Conventions of mergekit's `nearswap` (https://github.com/arcee-ai/mergekit).
 */
import { mergeMethod } from "../../contract.ts";

export const method = mergeMethod({
  name: "nearswap",
  title: "NearSwap",
  about: "the other model where it is near the base",
  cite: "mergekit",
  laws: {
    equalInputs: true,
    equalModels: "takes far values in part",
    order: "merges one model",
    baseAtZero: "has no lambda",
    homogeneous: "t is an absolute distance",
  },
  models: [1, 1],
  base: "required",
  heights: "equal",
  passes: "one",
  options: {
    t: { type: "number", required: true, help: "distance up to which a value is taken whole" },
  },

  /** w x + (1 - w) base with w = min(1, t / |base - x|). One pass. */
  async merge(job) {
    if (job.count === 0) return job.combine([], { base: 1 });
    await job.emit(async (chunk, result, out) => {
      await job.run("merge/nearswap", { flags: [...job.flags(), ...out] }, chunk, {
        bind: { stack: chunk.stack, result },
        params: { n4: chunk.n4, pitch: chunk.pitch, t: job.values.t },
      });
    });
  },
});
