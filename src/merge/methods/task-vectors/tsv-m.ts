/**
 * TSV-Merge: the leading singular directions of every task, each task its share of the rank, made orthogonal to each
 * other and added up.
 *
 * Gargiulo et al., CVPR 2025, https://arxiv.org/abs/2412.00081, algorithm 1: of tau_k = U_k S_k V_k^T the
 * floor(rank / K) leading triplets stay (one at the least); U = [U_1 .. U_K] and V alike become the orthonormal vectors
 * nearest to them, by their polar factors; the update is U S V^T. Directions that several tasks have in full are shared
 * out between them. Cost and what counts as a matrix: updates/spectral.ts.
 */
import { leadingSvd, rebuilt, type Triplets } from "../../../tensor/linear-algebra/leading-svd.ts";
import { lambdaOption, orthogonalised, spectralMethod } from "../../updates/spectral.ts";

export const method = spectralMethod({
  name: "tsv_m",
  title: "TSV-Merge",
  about: "leading singular directions of all tasks, made orthogonal; slow where sides exceed some thousand",
  cite: "arXiv:2412.00081",
  laws: {
    equalInputs: true,
    equalModels: "keeps the leading directions of each",
    order: true,
    baseAtZero: true,
    homogeneous: true,
  },
  options: lambdaOption,

  async update(tasks) {
    const share = Math.max(1, Math.floor(Math.min(tasks.rows, tasks.columns) / tasks.count));
    const parts: Triplets[] = [];
    for (let k = 0; k < tasks.count; k++) parts.push(leadingSvd(await tasks.read(k), share));
    return rebuilt(orthogonalised(parts, tasks));
  },
});
