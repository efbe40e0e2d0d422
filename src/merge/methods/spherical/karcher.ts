/**
 * Karcher mean: the point on the sphere with the least sum of squared angles to the models' directions, at their mean
 * length.
 *
 * Karcher, Comm. Pure Appl. Math. 1977, https://doi.org/10.1002/cpa.3160300502; parameters as mergekit's `karcher`. The
 * mean stays in the span of the models, so the iteration runs on coefficients, in f64, from the matrix of inner
 * products.
 */
import { mergeMethod } from "../../contract.ts";

/** Coefficients c with mean = sum_i c_i x_i, from the Gram matrix of the models. */
export function karcherWeights(gram: readonly (readonly number[])[], maxIter: number, tol: number): number[] {
  const norms = gram.map((row, i) => Math.sqrt(row[i]!));
  const used = norms.flatMap((norm, i) => (norm > tol ? [i] : []));
  const coefficients = gram.map(() => 0);
  if (used.length === 0) return coefficients;
  const cosines = used.map((i) => used.map((j) => gram[i]![j]! / (norms[i]! * norms[j]!)));
  const dot = (a: readonly number[], b: readonly number[]) =>
    a.reduce((sum, x, i) => sum + x * b.reduce((inner, y, j) => inner + y * cosines[i]![j]!, 0), 0);
  const scaled = (a: readonly number[], by: number) => a.map((x) => x * by);
  const share = 1 / used.length;
  // `mean` holds coefficients of the unit vectors of the models used.
  let mean = used.map(() => share);
  const start = Math.sqrt(Math.max(0, dot(mean, mean)));
  mean = start < tol ? used.map((_, i) => (i === 0 ? 1 : 0)) : scaled(mean, 1 / start);
  for (let iteration = 0; iteration < maxIter; iteration++) {
    const tangent = used.map(() => 0);
    for (let i = 0; i < used.length; i++) {
      const unit = used.map((_, j) => (i === j ? 1 : 0));
      const cosine = Math.min(1, Math.max(-1, dot(mean, unit)));
      const angle = Math.acos(cosine);
      if (angle < tol) continue;
      const factor = (share * angle) / Math.sin(angle);
      for (let j = 0; j < used.length; j++) tangent[j]! += factor * (unit[j]! - cosine * mean[j]!);
    }
    const length = Math.sqrt(Math.max(0, dot(tangent, tangent)));
    if (length < tol) break;
    mean = mean.map((x, j) => Math.cos(length) * x + (Math.sin(length) / length) * tangent[j]!);
    const norm = Math.sqrt(Math.max(0, dot(mean, mean)));
    if (norm > tol) mean = scaled(mean, 1 / norm);
  }
  const meanNorm = norms.reduce((a, b) => a + b, 0) / norms.length;
  for (const [i, model] of used.entries()) coefficients[model] = (mean[i]! * meanNorm) / norms[model]!;
  return coefficients;
}

export const method = mergeMethod({
  name: "karcher",
  title: "Karcher mean",
  about: "the mean on the sphere of the models' directions, at their mean length",
  cite: "doi:10.1002/cpa.3160300502",
  laws: {
    equalInputs: true,
    equalModels: true,
    order: true,
    baseAtZero: "knows no base",
    homogeneous: true,
  },
  models: [1, Number.POSITIVE_INFINITY],
  base: "input",
  heights: "equal",
  passes: "many",
  options: {
    max_iter: { type: "number.integer >= 0", default: 10, help: "most iterations" },
    tol: { type: "number > 0", default: 1e-5, help: "stop when a step is shorter than this angle" },
  },

  /** Two passes: inner products, then the weighted sum. All models count alike. */
  async merge(job) {
    if (job.count === 1) return job.combine([1]);
    await job.combine(karcherWeights(await job.gram(), job.values.max_iter, job.values.tol));
  },
});
