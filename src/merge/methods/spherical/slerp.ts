/**
 * Slerp: spherical interpolation between two models, along the great circle through their flattened tensors.
 *
 * Shoemake, SIGGRAPH 1985, https://doi.org/10.1145/325334.325242; conventions of mergekit's `slerp`: the sum runs over
 * the tensors themselves, not their directions, and tensors within |cos| > 0.9995 are interpolated linearly.
 */
import { mergeMethod } from "../../contract.ts";

const PARALLEL = 0.9995;
const TINY_NORM = 1e-8;

/** Coefficients of both ends at position t, from the tensors' inner products. */
export function slerpWeights(aa: number, ab: number, bb: number, t: number, parallel = PARALLEL): [number, number] {
  const norm = (square: number) => (Math.sqrt(square) > TINY_NORM ? Math.sqrt(square) : 1);
  const cosine = ab / (norm(aa) * norm(bb));
  if (Math.abs(cosine) > parallel) return [1 - t, t];
  const angle = Math.acos(cosine);
  return [Math.sin((1 - t) * angle) / Math.sin(angle), Math.sin(t * angle) / Math.sin(angle)];
}

export const method = mergeMethod({
  name: "slerp",
  title: "Slerp",
  about: "spherical interpolation between two models",
  cite: "doi:10.1145/325334.325242",
  laws: {
    equalInputs: true,
    equalModels: "goes part of the way from the base to the model",
    order: "merges one model",
    baseAtZero: "has no lambda",
    homogeneous: true,
  },
  models: [1, 1],
  base: "required",
  heights: "common",
  passes: "many",
  options: {
    t: { type: "number", required: true, help: "position between the base (0) and the other model (1)" },
  },

  /** Two passes: inner products, then the weighted sum. */
  async merge(job) {
    if (job.count === 0) return job.combine([], { base: 1 });
    const [[aa = 0, ab = 0] = [], [, bb = 0] = []] = await job.gram({ withBase: true });
    const [base, other] = slerpWeights(aa, ab, bb, job.values.t);
    await job.combine([other], { base, unrounded: true }); // mergekit interpolates in f32 whatever the dtype is
  },
});
