/**
 * Cross-entropy times a weight of the label: one over the effective number of its rows, (1 - b) / (1 - b^n), or over
 * their number, with mean 1 over labels. Cui et al., CVPR 2019, https://arxiv.org/abs/1901.05555
 */
import { defineLabelLoss } from "../../../run/training/label-loss.ts";
import { crossEntropy } from "../../../tensor/ops/cross-entropy.ts";
import { mul } from "../../../tensor/ops/elementwise.ts";
import { labelWeights, ofLabel } from "../../label-scores.ts";

export const method = defineLabelLoss({
  name: "class-balanced",
  title: "Class-balanced cross-entropy",
  about: "cross-entropy times a weight that is larger for rare labels",
  cite: "arXiv:1901.05555",
  laws: { shiftFree: true, favours: true, vanishes: true, bounded: true, ownRow: true },
  counts: true,
  options: {
    balance_by: {
      type: "'effective' | 'number'",
      default: "effective",
      help: "what weights are one over: the effective number of a label's rows, or their number",
    },
    balance_beta: {
      type: "0 <= number < 1",
      default: 0.9999,
      with: { balance_by: "effective" },
      help: "b of the effective number (1 - b^n) / (1 - b)",
      value: "B",
    },
  },
  rows(rec, { logits, targets, values: { balance_by: by, balance_beta: beta }, counts }) {
    const weights = labelWeights(counts, by === "effective" ? beta : undefined);
    return mul(rec, crossEntropy(rec, logits, targets), ofLabel(rec, weights, targets));
  },
});
