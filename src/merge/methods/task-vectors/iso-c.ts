/**
 * Iso-C: the sum of the task vectors with every singular value at the mean of all, so that no task's directions
 * outweigh another's.
 *
 * Marczak et al., ICML 2025, https://arxiv.org/abs/2502.04959, equations 5 and 6: sum_k tau_k = U S V^T becomes
 * mean(S) U V^T, the mean over all min(rows, columns) values. Directions that the sum does not have stay out, as they
 * could be any; the authors' code takes those that its library gives. The paper tunes lambda on held-out data. Cost and
 * what counts as a matrix: updates/spectral.ts.
 */
import { leadingSvd, rebuilt } from "../../../tensor/linear-algebra/leading-svd.ts";
import { lambdaOption, spectralMethod, summed } from "../../updates/spectral.ts";

export const method = spectralMethod({
  name: "iso_c",
  title: "Iso-C",
  about: "the sum of task vectors with equal singular values; slow where sides exceed some thousand",
  cite: "arXiv:2502.04959",
  laws: {
    equalInputs: true,
    equalModels: "gives all directions one length",
    order: true,
    baseAtZero: true,
    homogeneous: true,
  },
  options: lambdaOption,

  async update(tasks) {
    const { s, left, right } = leadingSvd(await summed(tasks));
    const mean = s.reduce((sum, value) => sum + value, 0) / Math.min(tasks.rows, tasks.columns);
    return rebuilt({ s: s.map(() => mean), left, right });
  },
});
