/**
 * Model Stock: the average of the models pulled back to the base, by how far their task vectors point in one direction.
 *
 * Jang et al., ECCV 2024, https://arxiv.org/abs/2403.19522; parameters as mergekit's `model_stock`: one angle per
 * tensor, or per row with `filter_wise`, the mean over all pairs of models; the result is not clamped.
 */
import { UserError } from "../../../errors.ts";
import { mergeMethod } from "../../contract.ts";
import { type Axis, combineAlong } from "../../job/along-axis.ts";

const TINY = 1e-6;

/** Share of the models' average, from the inner products of their task vectors. */
export function stockRatio(gram: readonly (readonly number[])[]): number {
  const n = gram.length;
  let cosines = 0;
  for (let i = 0; i < n; i++) {
    for (let j = i + 1; j < n; j++) {
      const cosine = gram[i]![j]! / Math.max(Math.sqrt(gram[i]![i]! * gram[j]![j]!), TINY);
      cosines += Math.min(1, Math.max(-1, cosine));
    }
  }
  const cosine = cosines / ((n * (n - 1)) / 2);
  return (n * cosine) / (1 + (n - 1) * cosine);
}

export const method = mergeMethod({
  name: "model_stock",
  title: "Model Stock",
  about: "average of the models, pulled to the base by the angle between their task vectors",
  cite: "arXiv:2403.19522",
  laws: {
    equalInputs: true,
    equalModels: true,
    order: true,
    baseAtZero: "has no lambda",
    homogeneous: true,
  },
  models: [2, Number.POSITIVE_INFINITY],
  base: "required",
  heights: "common",
  passes: "many",
  options: {
    filter_wise: { type: "boolean", default: false, help: "one angle per row instead of one per tensor" },
  },

  /** t mean(x_i) + (1 - t) base with t = N c / (1 + (N - 1) c). Two passes. */
  async merge(job) {
    if (job.count === 0) return job.combine([], { base: 1 });
    if (job.count < 2) {
      throw new UserError(`${job.name}: only one model has this tensor`, "model_stock needs two besides the base");
    }
    const axis: Axis = job.values.filter_wise && job.shape.length > 1 ? "rows" : "tensor";
    await combineAlong(job, axis, true, (gram) => {
      const t = stockRatio(gram);
      return gram.map(() => t / gram.length);
    });
  },
});
