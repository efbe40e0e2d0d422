/**
 * DARE on whole changes with TIES' election of signs, and the leading singular directions of the result.
 *
 * Source: PEFT's add_weighted_adapter, combination_type dare_ties_svd; Yu et al. 2023,
 * https://arxiv.org/abs/2311.03099.
 */
import { onChanges, svdRank } from "../../forms.ts";
import { dareTies, density, majority } from "../../tensor-formulas.ts";

export const method = onChanges({
  name: "dare-ties-svd",
  title: "DARE-TIES, SVD",
  about: "drop values of whole changes at random, elect signs, average, cut by SVD",
  cite: "arXiv:2311.03099",
  options: { ...density, ...majority, ...svdRank },
  formula: dareTies,
});
