/**
 * Random labels: every row to forget has another label, drawn once, which is learnt beside the rows to keep. Graves et
 * al., AAAI 2021, https://arxiv.org/abs/2010.10981. Of text every token that counts is another one.
 */
import { defineObjective, EVERY_LAW } from "../../contract.ts";

export const method = defineObjective({
  name: "random-labels",
  title: "Random labels",
  about: "learns other labels for the forget set, drawn at random once, beside the retain set's own",
  cite: "arXiv:2010.10981",
  laws: { ...EVERY_LAW, forgets: "rows have other labels before the loss sees them" },
  relabels: true,
  weights: { forget: 1, retain: 1 },
  options: {},
  sequences: (_, { nll }) => nll,
});
