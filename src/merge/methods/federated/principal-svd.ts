/**
 * Principal-direction aggregation: rebuilds the mean update from the leading principal directions of the models'
 * updates.
 *
 * Server side of FedLD (Zeng et al., MICCAI 2024, https://arxiv.org/abs/2408.12300). Per tensor, with updates D_k of m
 * models and S = D D^T / m = sum_j s_j e_j e_j^T, the directions v_j = D^T e_j of the floor(keep m) largest s_j are
 * kept, and u_k = |D_k| sum_j sign(<D_k, v_j>) v_j / |v_j| s_j / sum s, the sum over all m. All of it lies in the span
 * of the updates, so the m x m matrix of inner products decides it in f64. The authors also turn every v_j towards the
 * majority; each term is the same for v_j and -v_j, so that step is left out. At least one direction is kept. Tensors
 * of one value use the plain mean.
 *
 * The result is shorter than the mean update where models disagree (see `lambda`), and worse than it when the models
 * oppose each other in two camps.
 */
import { symmetricEigen } from "../../../tensor/linear-algebra/symmetric-eigen.ts";
import { mergeMethod } from "../../contract.ts";
import { addTaskVectors } from "../../updates/add-task-vectors.ts";

/** Below this share of the largest eigenvalue a direction is rounding and is left out. */
const TINY = 1e-10;

/**
 * Coefficients c with result = base + sum_k c_k D_k, from the inner products of the updates. NaN where these are not
 * finite: so is the whole tensor then, as with any method of inner products, and the merge says why.
 */
export function principalWeights(gram: readonly (readonly number[])[], keep: number): number[] {
  const m = gram.length;
  if (!gram.flat().every(Number.isFinite)) return gram.map(() => Number.NaN);
  const { values, vectors } = symmetricEigen(Float64Array.from(gram.flat()), m);
  const kept = Math.max(1, Math.floor(keep * m));
  const all = [...values].map((value) => (value > TINY * values[0]! ? value : 0));
  const used = all.slice(0, kept);
  const total = all.reduce((a, b) => a + b, 0);
  const weights = gram.map(() => 0);
  if (total <= 0) return weights;
  for (const [j, value] of used.entries()) {
    if (value === 0) continue;
    const e = vectors.subarray(j * m, j * m + m);
    // <D_k, v_j> = value e_k and |v_j|^2 = value, value being an eigenvalue of the inner products themselves.
    const signed = gram.reduce(
      (sum, row, k) => sum + Math.sign(Math.abs(e[k]!) > TINY ? e[k]! : 0) * Math.sqrt(row[k]!),
      0,
    );
    const length = (signed / m) * (value / total);
    for (let k = 0; k < m; k++) weights[k]! += (length * e[k]!) / Math.sqrt(value);
  }
  return weights;
}

export const method = mergeMethod({
  name: "principal_svd",
  title: "Principal-direction aggregation (FedLD)",
  about: "mean update rebuilt from the leading principal directions of the updates",
  cite: "arXiv:2408.12300",
  laws: {
    equalInputs: true,
    equalModels: true,
    order: true,
    baseAtZero: true,
    homogeneous: true,
  },
  models: [1, Number.POSITIVE_INFINITY],
  base: "required",
  heights: "equal",
  passes: "many",
  options: {
    keep: { type: "0 < number <= 1", default: 0.8, help: "share of the principal directions that is kept" },
    lambda: { type: "number", default: 1, help: "scale of the result; above 1 gives back length lost to disagreement" },
  },

  /** Two passes: inner products, then the weighted sum. */
  async merge(job) {
    const { keep, lambda } = job.values;
    const weights =
      job.size === 1
        ? job.task.models.map(() => 1 / job.count)
        : principalWeights(await job.gram({ delta: true }), keep);
    await addTaskVectors(
      job,
      weights.map((c) => ({ plain: lambda * c })),
    );
  },
});
