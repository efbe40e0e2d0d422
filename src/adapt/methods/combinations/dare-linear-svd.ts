/**
 * DARE on whole changes, and the leading singular directions of the result.
 *
 * Source: PEFT's add_weighted_adapter, combination_type dare_linear_svd; Yu et al. 2023,
 * https://arxiv.org/abs/2311.03099.
 */
import { onChanges, svdRank } from "../../forms.ts";
import { dareLinear, density } from "../../tensor-formulas.ts";

export const method = onChanges({
  name: "dare-linear-svd",
  title: "DARE, SVD",
  about: "drop values of whole changes at random, rescale, add, cut by SVD",
  cite: "arXiv:2311.03099",
  options: { ...density, ...svdRank },
  formula: dareLinear,
});
