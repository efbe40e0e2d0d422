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
import { principalWeights } from "../../../run/among/rules/principal-directions.ts";
import { mergeMethod } from "../../contract.ts";
import { addTaskVectors } from "../../updates/add-task-vectors.ts";

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
