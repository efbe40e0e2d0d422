/**
 * DARE on A and on B apart: drop values at random, rescale the rest, add.
 *
 * Source: PEFT's add_weighted_adapter, combination_type dare_linear; Yu et al. 2023, https://arxiv.org/abs/2311.03099.
 */
import { onFactors } from "../../forms.ts";
import { dareLinear, density } from "../../tensor-formulas.ts";

export const method = onFactors({
  name: "dare-linear",
  title: "DARE",
  about: "drop values of A and of B at random, rescale, add",
  cite: "arXiv:2311.03099",
  options: { ...density },
  formula: dareLinear,
});
