/**
 * SalUn: random labels that only salient weights learn, those of which the rows to forget, with their own labels, have
 * the largest gradients at the start. All others stay as they are. Fan et al., ICLR 2024,
 * https://arxiv.org/abs/2310.12508
 */
import { defineObjective, EVERY_LAW } from "../../contract.ts";

export const method = defineObjective({
  name: "salun",
  title: "Saliency unlearning",
  about: "learns random labels for the forget set by the weights that matter most to it; the others stay",
  cite: "arXiv:2310.12508",
  laws: { ...EVERY_LAW, forgets: "rows have other labels before the loss sees them" },
  relabels: true,
  weights: { forget: 1, retain: 1 },
  options: {
    salient: {
      type: "0 < number <= 1",
      default: 0.5,
      help: "share of the weights that learns",
      value: "SHARE",
    },
  },
  salient: ({ salient }) => salient,
  sequences: (_, { nll }) => nll,
});
