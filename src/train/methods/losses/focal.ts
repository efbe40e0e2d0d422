/**
 * (1 - p)^gamma times cross-entropy: rows that are right already count less. Lin et al., ICCV 2017,
 * https://arxiv.org/abs/1708.02002, for classes and tokens.
 */
import { defineLabelLoss } from "../../../run/training/label-loss.ts";
import { exp, logSigmoid, mul, scale } from "../../../tensor/ops/elementwise.ts";
import { labelGap, softplus } from "../../../tensor/ops/label-gap.ts";

export const method = defineLabelLoss({
  name: "focal",
  title: "Focal loss",
  about: "cross-entropy times (1 - p)^gamma: what is right already counts less",
  cite: "arXiv:1708.02002",
  laws: { shiftFree: true, favours: true, vanishes: true, bounded: true, ownRow: true },
  options: {
    focal_gamma: { type: "number >= 0", default: 2, help: "power of 1 - p; 0: cross-entropy", value: "GAMMA" },
  },
  rows(rec, { logits, targets, values }) {
    const gap = labelGap(rec, logits, targets);
    // log(1 - p) = log sigmoid(gap)
    const missing = exp(rec, scale(rec, logSigmoid(rec, gap), values.focal_gamma));
    return mul(rec, missing, softplus(rec, gap));
  },
});
