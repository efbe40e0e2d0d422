/**
 * Factors of all adapters beside each other: the exact weighted sum of their changes, of the sum of their ranks.
 *
 * Source: PEFT's add_weighted_adapter, combination_type cat.
 */
import { combineMethod } from "../../contract.ts";
import { besides } from "../../forms.ts";

export const method = combineMethod({
  name: "cat",
  title: "Concatenation",
  about: "the exact weighted sum of the changes, of the sum of the ranks",
  cite: "https://github.com/huggingface/peft",
  options: {},
  ranks: "sum",
  combine: async ({ parts }) => besides(parts, ({ weight }) => weight),
});
