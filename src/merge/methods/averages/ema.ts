/**
 * EMA over checkpoints: the exponential moving average of a sequence of models, in the order in which they are given.
 *
 * M_t = w M_{t-1} + (1 - w) x_t; M_0 is the base, or without one the first model. "EMA-merge" and "FT-merge" of Roth et
 * al., NeurIPS 2024, https://arxiv.org/abs/2408.14471, differ only in where training of x_t began, not here; their
 * "ZS-merge" is the method `linear`. The recursion is unrolled, so every step needs one pass over all models together,
 * and a later step can start from an earlier result as its base.
 */

import { mergeMethod } from "../../contract.ts";
import { takeInput } from "../../updates/add-task-vectors.ts";

/** Weights of M_0 and of the `count` models that follow it; they sum to 1. */
export function emaWeights(w: number, count: number): number[] {
  return [w ** count, ...Array.from({ length: count }, (_, t) => (1 - w) * w ** (count - 1 - t))];
}

export const method = mergeMethod({
  name: "ema",
  title: "EMA over time",
  about: "exponential moving average of a sequence of checkpoints",
  cite: "arXiv:2408.14471",
  laws: {
    equalInputs: true,
    equalModels: "keeps a share of the base",
    order: "the models are a sequence in time",
    baseAtZero: "has no lambda",
    homogeneous: true,
  },
  models: [1, Number.POSITIVE_INFINITY],
  base: "optional",
  heights: "equal",
  passes: "one",
  options: {
    w: { type: "0 <= number <= 1", default: 0.9, help: "share that the average keeps at each step" },
  },

  /** One pass; weight 0 or 1 copies. */
  async merge(job) {
    const { w } = job.values;
    const weights = job.hasBase ? emaWeights(w, job.count) : [0, ...emaWeights(w, job.count - 1)];
    const only = weights.indexOf(1);
    if (only >= 0) return takeInput(job, only - 1);
    await job.combine(weights.slice(1), { base: weights[0]! });
  },
});
