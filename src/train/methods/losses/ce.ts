/** -log p of the label, smoothed and with the squared log-partition where options ask for it. */
import { defineLabelLoss } from "../../../run/training/label-loss.ts";
import { crossEntropy } from "../../../tensor/ops/cross-entropy.ts";

export const method = defineLabelLoss({
  name: "ce",
  title: "Cross-entropy",
  about: "cross-entropy of tokens or labels",
  cite: "doi:10.1111/j.2517-6161.1958.tb00292.x",
  laws: { shiftFree: true, favours: true, vanishes: true, bounded: true, ownRow: true },
  softens: true,
  options: {},
  rows: (rec, { logits, targets, softened }) => crossEntropy(rec, logits, targets, softened),
});
