/**
 * TIES on A and on B apart: trim, elect signs, average the values that carry them.
 *
 * Source: PEFT's add_weighted_adapter, combination_type ties; Yadav et al. 2023, https://arxiv.org/abs/2306.01708.
 */
import { onFactors } from "../../forms.ts";
import { density, majority, ties } from "../../tensor-formulas.ts";

export const method = onFactors({
  name: "ties",
  title: "TIES",
  about: "trim, elect signs and average, on A and on B apart",
  cite: "arXiv:2306.01708",
  options: { ...density, ...majority },
  formula: ties,
});
