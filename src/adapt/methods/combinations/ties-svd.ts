/**
 * TIES on whole changes, and the leading singular directions of the result.
 *
 * Source: PEFT's add_weighted_adapter, combination_type ties_svd; Yadav et al. 2023, https://arxiv.org/abs/2306.01708.
 */
import { onChanges, svdRank } from "../../forms.ts";
import { density, majority, ties } from "../../tensor-formulas.ts";

export const method = onChanges({
  name: "ties-svd",
  title: "TIES, SVD",
  about: "trim, elect signs and average on whole changes, cut by SVD",
  cite: "arXiv:2306.01708",
  options: { ...density, ...majority, ...svdRank },
  formula: ties,
});
