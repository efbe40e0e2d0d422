/**
 * EMR-Merging: one unified change for all models, and each model again from it by a mask and a scale.
 *
 * Huang et al., NeurIPS 2024, https://arxiv.org/abs/2405.17461: the unified change has, value by value, the sign of the
 * sum of the task vectors and the largest magnitude among those of that sign. Model k is base + lambda_k of the part
 * that has the signs of its own task vector, lambda_k = sum |tau_k| / sum |that part| over all tensors. Without `task`
 * the unified model is written, with it model `task` as it comes back.
 */
import { LANES, REDUCE_SPAN, spanGroups } from "../../../gpu/grid.ts";
import { type MergeValues, mergeMethod } from "../../contract.ts";
import type { TensorInputs } from "../../job/tensor-inputs.ts";
import { takeInput } from "../../updates/add-task-vectors.ts";

const options = {
  lambda: { type: "number", default: 1, help: "scale of the change" },
  task: {
    type: "number.integer >= 1",
    names: "model",
    help: "write this model (1: the first) as it comes back from the unified change",
  },
} as const;

type Inputs = TensorInputs<MergeValues<typeof options>>;

/** Scales by the model's place in the recipe. */
async function scales(tensors: readonly Inputs[]): Promise<ReadonlyMap<number, number>> {
  const sums = new Map<number, [number, number]>();
  if (tensors.every(({ values }) => values.task === undefined)) return new Map();
  for (const inputs of tensors) {
    if (inputs.count === 0) continue;
    const { modelIndex } = inputs.task;
    for (const index of modelIndex) sums.set(index, sums.get(index) ?? [0, 0]);
    const kernel = await inputs.gpu.kernel("merge/emr-sums", {
      flags: inputs.flags(),
      constants: { K: inputs.count },
    });
    await inputs.reduce(kernel, {
      count: ({ n4 }) => 2 * LANES * inputs.count * Math.ceil(n4 / REDUCE_SPAN),
      dispatch: (chunk, partials) => ({
        bind: { stack: chunk.stack, partials },
        params: { n4: chunk.n4, pitch: chunk.pitch },
        groups: spanGroups(chunk.n4, REDUCE_SPAN),
      }),
      fold: (partials) => {
        for (const [i, partial] of partials.entries())
          sums.get(modelIndex[Math.floor(i / 2 / LANES) % inputs.count]!)![i % 2]! += partial;
      },
    });
  }
  return new Map([...sums].map(([index, [size, kept]]) => [index, kept === 0 ? 0 : size / kept]));
}

export const method = mergeMethod({
  name: "emr",
  title: "EMR-Merging",
  about: "one unified change by elected signs and largest magnitudes, or a model again from it",
  cite: "arXiv:2405.17461",
  laws: {
    equalInputs: true,
    equalModels: true,
    order: true,
    baseAtZero: true,
    homogeneous: true,
  },
  trials: [{}, { task: 1 }],
  models: [1, Number.POSITIVE_INFINITY],
  base: "required",
  heights: "base",
  passes: "one",
  options,
  survey: scales,

  /** One pass, and one more over the whole model where a model is to come back. */
  async merge(job) {
    const { lambda, task } = job.values;
    const place = task === undefined ? -1 : job.task.modelIndex.indexOf(task - 1);
    if (job.count === 0 || lambda === 0 || (task !== undefined && place < 0)) return takeInput(job, -1);
    const scale = lambda * (task === undefined ? 1 : job.survey.get(task - 1)!);
    await job.emit(async (chunk, result, out) => {
      await job.run("merge/emr", { flags: [...job.flags(), ...out], constants: { K: job.count } }, chunk, {
        bind: { stack: chunk.stack, result },
        params: { n4: chunk.n4, pitch: chunk.pitch, task: place + 1, scale },
      });
    });
  },
});
