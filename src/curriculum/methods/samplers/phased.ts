/**
 * Phases of fine-tuning: every group by itself, in the order in which the groups are given, for as many steps as it has
 * rows. Pareja et al. 2024, https://arxiv.org/abs/2412.13337, who find it no better than all groups at once
 * (stacked.ts). With a constant rate every phase begins as the others do.
 */
import { defineSampler } from "../../contract.ts";
import { staged, stageSteps } from "../../staged.ts";

export const method = defineSampler({
  name: "phased",
  title: "Phases",
  about: "one group after the other, each as long as its rows say",
  cite: "arXiv:2412.13337",
  laws: {
    keepsEveryGroup: "phases leave groups out",
    followsLosses: "phases are fixed before the training",
    anyGroupOrder: "groups come in their order",
    shiftInvariant: "it hears no losses",
    stepZero: "it has no step size",
  },
  options: {},
  make({ groups, steps }) {
    const lengths = stageSteps(
      groups.map(({ rows }) => rows),
      steps,
    );
    return staged(
      lengths.map((length, phase) => ({ probs: groups.map((_, i) => Number(i === phase)), steps: length })),
    );
  },
});
