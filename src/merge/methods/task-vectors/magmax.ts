/**
 * MagMax: value by value, the task vector that changes it most.
 *
 * Marczak et al., ECCV 2024, https://arxiv.org/abs/2407.06322, for models that are tuned apart from each other:
 * base + lambda tau_j, j the model whose |tau_j| is largest there. Of equal magnitudes the later model's counts.
 */
import { mergeMethod } from "../../contract.ts";
import { takeInput } from "../../updates/add-task-vectors.ts";

export const method = mergeMethod({
  name: "magmax",
  title: "MagMax",
  about: "value by value, the change of largest magnitude",
  cite: "arXiv:2407.06322",
  laws: {
    equalInputs: true,
    equalModels: "takes lambda of a change, half of it by default",
    order: "of opposite changes of one size the later counts",
    baseAtZero: true,
    homogeneous: true,
  },
  models: [1, Number.POSITIVE_INFINITY],
  base: "required",
  heights: "base",
  passes: "one",
  options: { lambda: { type: "number", default: 0.5, help: "scale of the combined task vector" } },

  /** One pass. */
  async merge(job) {
    const { lambda } = job.values;
    if (job.count === 0 || lambda === 0) return takeInput(job, -1);
    await job.emit(async (chunk, result, out) => {
      await job.run("merge/magmax", { flags: [...job.flags(), ...out], constants: { K: job.count } }, chunk, {
        bind: { stack: chunk.stack, result },
        params: { n4: chunk.n4, pitch: chunk.pitch, lambda },
      });
    });
  },
});
