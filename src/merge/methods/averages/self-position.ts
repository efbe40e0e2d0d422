/**
 * Self-positioning: shares of the models and one scale of their mean change, found by gradient descent on a few rows
 * drawn equally from the tasks.
 *
 * Li et al., 2024, https://arxiv.org/abs/2410.15035. theta = base + s sum_k alpha_k tau_k with alpha = softmax(a); the
 * loss is that of the rows plus `pull` (s - 1)^2. The paper gives the interpolation space in words only; simplex and
 * scale are a reading of it. Its loss is --loss infonce, of encoders that make vectors of texts.
 */
import { mergeMethod } from "../../contract.ts";
import { scaledSimplex } from "../../tuning/free-numbers.ts";
import { addWeighted } from "../../updates/task-vectors.ts";

const options = {
  weight: { type: "number > 0", per: "model", default: 1, help: "share of each model before the first step" },
  scale: { type: "number > 0", default: 1, help: "of the mean change, before the first step" },
  learn_scale: { type: "boolean", default: true, help: "learn the scale too" },
  pull: { type: "number >= 0", default: 0.1, help: "weight of the squared distance of the scale from 1 in the loss" },
  loss: {
    type: "'ce' | 'kd' | 'entropy' | 'infonce'",
    default: "ce",
    help: "cross-entropy of labels, divergence from each task's own model, entropy of predictions, or InfoNCE of pairs of texts",
  },
} as const;

export const method = mergeMethod({
  name: "self_position",
  title: "Self-positioning",
  about: "average of task vectors whose shares and scale are learnt from a few rows of each task",
  cite: "arXiv:2410.15035",
  laws: {
    equalInputs: true,
    equalModels: true,
    order: true,
    baseAtZero: "has no lambda",
    homogeneous: true,
  },
  models: [1, Number.POSITIVE_INFINITY],
  base: "required",
  heights: "base",
  passes: "one",
  options,

  tune: {
    sets: "weight",
    required: true,
    steps: 300,
    rate: 1e-2,
    descent: "sgd",
    over: "mean",
    granularity: () => "task",
    loss: ({ loss }) => loss,
    free({ models, start }, { scale, learn_scale: learnsScale, pull }) {
      const total = start.subarray(0, models).reduce((a, b) => a + b, 0);
      const shares = start.map((share) => (scale * share) / total);
      return scaledSimplex({ models, start: shares }, { learnsScale, pull });
    },
  },

  /** One pass. The weights are those that were learnt: scale times shares. */
  merge: (job) => addWeighted(job, job.values.weight),
});
