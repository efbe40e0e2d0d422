/**
 * Consensus merging: of a joint change those values that several models need, and with `task` those that one needs.
 *
 * Wang et al., ICML 2024, https://arxiv.org/abs/2405.07813. A model needs a value where
 * |tau_k| >= threshold |J - tau_k|, J the joint change: the sum of all task vectors, or that of a model merged before
 * (`joint`), by TIES for example. Values that fewer than `least` models need are catastrophic or selfish weights and
 * stay those of the base. With `task` the mask is that model's own, a TALL-mask, and the result is the model as it
 * comes back from the joint change.
 */
import { type MergeValues, mergeMethod } from "../../contract.ts";
import { type ExtraCheckpoints, loadExtra, openExtraCheckpoints } from "../../job/extra-checkpoints.ts";
import type { TensorInputs } from "../../job/tensor-inputs.ts";
import { takeInput } from "../../updates/add-task-vectors.ts";

const options = {
  lambda: { type: "number", default: 1, help: "scale of the masked change" },
  threshold: {
    type: "number >= 0",
    default: 0.4,
    help: "how large a task vector is beside the others where it is needed",
  },
  least: { type: "number.integer >= 0", default: 2, help: "models that need a value which is kept" },
  joint: {
    type: "string",
    value: "MODEL",
    names: "checkpoint",
    help: "a merged model whose change is masked; the sum of all when left out",
  },
  task: {
    type: "number.integer >= 1",
    names: "model",
    help: "write this model (1: the first) as it comes back from the joint change",
  },
} as const;

type Inputs = TensorInputs<MergeValues<typeof options>>;

/** Opens merged models. */
const opened = (tensors: readonly Inputs[]): Promise<ExtraCheckpoints> =>
  openExtraCheckpoints(
    tensors.flatMap(({ values }) => values.joint ?? []),
    "merged models",
  );

export const method = mergeMethod({
  name: "consensus",
  title: "Consensus merging and TALL-masks",
  about: "a joint change where several models need it, or the part of it that is one model's",
  cite: "arXiv:2405.07813",
  laws: {
    equalInputs: true,
    equalModels: "adds the changes up",
    order: true,
    baseAtZero: true,
    homogeneous: true,
  },
  trials: [{}, { task: 1 }, { least: 3, threshold: 0.2 }],
  models: [1, Number.POSITIVE_INFINITY],
  base: "required",
  heights: "base",
  passes: "one",
  options,
  survey: opened,

  /** One pass. */
  async merge(job) {
    const { lambda, threshold, joint, task } = job.values;
    const place = task === undefined ? -1 : job.task.modelIndex.indexOf(task - 1);
    if (job.count === 0 || lambda === 0 || (task !== undefined && place < 0)) return takeInput(job, -1);
    const entry = joint === undefined ? undefined : job.survey.find(job, 0, joint);
    if (joint !== undefined && !entry) {
      job.settings.remark?.(`left as in the base, since ${joint} lacks it`, job.name);
      return takeInput(job, -1);
    }
    const least = task === undefined ? job.values.least : 1;
    const variant = { flags: [...job.flags(), ...(entry ? ["joint"] : [])], constants: { K: job.count } };
    await job.emit(async (chunk, result, out) => {
      using side = entry && (await loadExtra(job, chunk, [entry]));
      await job.run("merge/consensus", { ...variant, flags: [...variant.flags, ...out] }, chunk, {
        bind: { stack: chunk.stack, ...(side && { joint: side.buffer }), result },
        params: { n4: chunk.n4, pitch: chunk.pitch, task: place + 1, least, threshold, lambda },
      });
    });
  },
});
