/**
 * Magnitude pruning of whole changes, a weighted sum, and its leading singular directions.
 *
 * Source: PEFT's add_weighted_adapter, combination_type magnitude_prune_svd.
 */
import { onChanges, svdRank } from "../../forms.ts";
import { density, magnitudePrune } from "../../tensor-formulas.ts";

export const method = onChanges({
  name: "magnitude-prune-svd",
  title: "Magnitude pruning, SVD",
  about: "the largest values of whole changes, in a weighted sum cut by SVD",
  cite: "https://github.com/huggingface/peft",
  options: { ...density, ...svdRank },
  formula: magnitudePrune,
});
