/**
 * All phases of fine-tuning at once: groups are drawn by size in one run. Pareja et al. 2024,
 * https://arxiv.org/abs/2412.13337: as good as one phase after the other (phased.ts), and simpler.
 */
import { defineSampler } from "../../contract.ts";
import { bySize } from "../../mixture-options.ts";
import { staged } from "../../staged.ts";

export const method = defineSampler({
  name: "stacked",
  title: "Stacked phases",
  about: "all groups at once, by size",
  cite: "arXiv:2412.13337",
  laws: {
    keepsEveryGroup: true,
    followsLosses: "the mixture is fixed",
    anyGroupOrder: true,
    shiftInvariant: "it hears no losses",
    stepZero: "it has no step size",
  },
  options: {},
  make: ({ groups, steps }) => staged([{ probs: bySize(groups), steps }]),
});
