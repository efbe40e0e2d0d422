/**
 * Weighted sums of A and of B apart, so that the product has terms of factors of different adapters.
 *
 * Source: PEFT's add_weighted_adapter, combination_type linear.
 */
import { onFactors } from "../../forms.ts";
import { linear } from "../../tensor-formulas.ts";

export const method = onFactors({
  name: "linear",
  title: "Linear",
  about: "weighted sums of A and of B apart",
  cite: "https://github.com/huggingface/peft",
  options: {},
  formula: linear,
});
