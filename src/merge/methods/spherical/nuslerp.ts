/**
 * NuSlerp: spherical interpolation by the share of two weights, of whole tensors, rows or columns, or of task vectors.
 *
 * Parameters and conventions of mergekit's `nuslerp` (https://github.com/arcee-ai/mergekit): with a base, the
 * differences from it are interpolated; parallel vectors are interpolated linearly only when their angle vanishes.
 */

import { mergeMethod } from "../../contract.ts";
import { type Axis, combineAlong } from "../../job/along-axis.ts";

const TINY_SUM = 1e-6;
const TINY_NORM = 1e-7;
const TINY_SINE = 1e-8;

/** Coefficients of two vectors from their inner products. */
export function nuslerpWeights(aa: number, ab: number, bb: number, t: number): [number, number] {
  const norms = Math.max(Math.sqrt(aa), TINY_NORM) * Math.max(Math.sqrt(bb), TINY_NORM);
  const angle = Math.acos(Math.min(1, Math.max(-1, ab / norms)));
  const sine = Math.sin(angle);
  if (Math.abs(sine) < TINY_SINE) return [1 - t, t];
  return [Math.sin((1 - t) * angle) / sine, Math.sin(t * angle) / sine];
}

export const method = mergeMethod({
  name: "nuslerp",
  title: "NuSlerp",
  about: "spherical interpolation by weights, whole or by rows, optionally of task vectors",
  cite: "mergekit",
  laws: {
    equalInputs: true,
    equalModels: true,
    order: true,
    baseAtZero: "has no lambda",
    homogeneous: true,
  },
  models: [2, 2],
  base: "optional",
  heights: "common",
  passes: "many",
  options: {
    weight: {
      type: "number",
      per: "model",
      required: true,
      help: "the second's share of the sum is the position; 1 if left out",
    },
    nuslerp_flatten: { type: "boolean", default: true, help: "take the whole tensor as one vector" },
    nuslerp_row_wise: { type: "boolean", default: false, help: "unless flattened: vectors along axis 0, not the last" },
  },

  /** Two passes: inner products, then the weighted sum. */
  async merge(job) {
    const { weight, nuslerp_flatten, nuslerp_row_wise } = job.values;
    if (job.count === 1) return job.combine([1], { base: 0 });
    const sum = weight[0]! + weight[1]!;
    const t = Math.abs(sum) < TINY_SUM ? 0.5 : weight[1]! / sum;
    const wise: Axis = nuslerp_row_wise ? "columns" : "rows";
    const axis: Axis = nuslerp_flatten || job.shape.length < 2 ? "tensor" : wise;
    await combineAlong(job, axis, job.hasBase, (gram) => nuslerpWeights(gram[0]![0]!, gram[0]![1]!, gram[1]![1]!, t));
  },
});
