/**
 * DARE on A and on B apart, with TIES' election of signs.
 *
 * Source: PEFT's add_weighted_adapter, combination_type dare_ties; Yu et al. 2023, https://arxiv.org/abs/2311.03099.
 */
import { onFactors } from "../../forms.ts";
import { dareTies, density, majority } from "../../tensor-formulas.ts";

export const method = onFactors({
  name: "dare-ties",
  title: "DARE-TIES",
  about: "drop values of A and of B at random, rescale, elect signs and average",
  cite: "arXiv:2311.03099",
  options: { ...density, ...majority },
  formula: dareTies,
});
