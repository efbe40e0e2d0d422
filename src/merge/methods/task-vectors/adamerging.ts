/**
 * AdaMerging: task arithmetic whose coefficients minimise the entropy of the merged model's predictions on rows
 * without labels, for each model or for each model and layer.
 *
 * Yang et al., ICLR 2024, https://arxiv.org/abs/2310.02575. `plus` (AdaMerging++) trims the task vectors and elects
 * signs first, as TIES does, per tensor. The paper's layer is a tensor of the checkpoint, the default here; `layer` is
 * a transformer block. `normalize` and `from_depth` are those of the recipe for language models: coefficients that sum
 * to 1, and the lower blocks as they begin.
 */
import { mergeMethod } from "../../contract.ts";
import { normalized, plain } from "../../tuning/free-numbers.ts";
import { electedInputs } from "../../updates/elected-inputs.ts";
import { addWeighted } from "../../updates/task-vectors.ts";

const options = {
  weight: { type: "number", per: "model", default: 0.3, help: "coefficient of each task vector before the first step" },
  granularity: {
    type: "'task' | 'layer' | 'tensor'",
    default: "tensor",
    help: "a coefficient for each model, for each model and block, or for each model and tensor",
  },
  plus: { type: "boolean", default: false, help: "trim the task vectors and elect signs first, as TIES does" },
  density: { type: "0 < number <= 1", per: "model", default: 0.2, help: "with plus: share of each task vector kept" },
  loss: {
    type: "'entropy' | 'ce' | 'kd' | 'infonce'",
    default: "entropy",
    help: "entropy of predictions, cross-entropy of labels, or divergence from each task's own model",
  },
  normalize: { type: "boolean", default: false, help: "divide the coefficients by their sum over the models" },
  from_depth: { type: "0 <= number <= 1", default: 0, help: "blocks below this depth keep their first coefficients" },
} as const;

export const method = mergeMethod({
  name: "adamerging",
  title: "AdaMerging",
  about: "task arithmetic with coefficients learnt from rows without labels, for each model or tensor",
  cite: "arXiv:2310.02575",
  laws: {
    equalInputs: true,
    equalModels: true,
    order: true,
    baseAtZero: "has no lambda",
    homogeneous: true,
  },
  trials: [{}, { plus: true, density: 0.5 }],
  models: [1, Number.POSITIVE_INFINITY],
  base: "required",
  heights: "base",
  passes: "many",
  options,

  tune: {
    sets: "weight",
    required: true,
    steps: 1000,
    rate: 1e-3,
    descent: "adam",
    over: "sum",
    granularity: ({ granularity }) => granularity,
    fromDepth: (values) => values.from_depth,
    loss: ({ loss }) => loss,
    free: (given, { normalize }) => (normalize ? normalized(given) : plain(given)),
    async prepare(tensors) {
      const plus = tensors.some(({ values }) => values.plus);
      return plus ? (inputs) => electedInputs(inputs) : undefined;
    },
  },

  /** One pass; with `plus` three. */
  async merge(job) {
    const { weight, plus } = job.values;
    await addWeighted(job, weight, plus && job.count > 0 ? await electedInputs(job) : undefined);
  },
});
