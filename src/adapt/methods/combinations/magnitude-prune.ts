/**
 * Magnitude pruning of A and of B apart, then weighted sums.
 *
 * Source: PEFT's add_weighted_adapter, combination_type magnitude_prune.
 */
import { onFactors } from "../../forms.ts";
import { density, magnitudePrune } from "../../tensor-formulas.ts";

export const method = onFactors({
  name: "magnitude-prune",
  title: "Magnitude pruning",
  about: "the largest values of A and of B, in weighted sums",
  cite: "https://github.com/huggingface/peft",
  options: { ...density },
  formula: magnitudePrune,
});
