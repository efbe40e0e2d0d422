/**
 * The family ((1 + u)^(1 - tau) - 1) / (1 - tau), u = sum over other outputs of exp(z_k - z_y) = 1 / p - 1: the sum of
 * exponentials at tau 0, cross-entropy at 1, generalised cross-entropy (1 - p^q) / q with q = tau - 1 between 1 and 2,
 * the mean absolute error 1 - p at 2. Its gradient is that of cross-entropy times p^(tau - 1). Mao, Mohri and Zhong,
 * ICML 2023, https://arxiv.org/abs/2304.07288
 */
import { defineLabelLoss } from "../../../run/training/label-loss.ts";
import { add, addScalar, exp, scale, square } from "../../../tensor/ops/elementwise.ts";
import { labelGap, softplus } from "../../../tensor/ops/label-gap.ts";

/** Nearer to tau 1 than this a series takes the place of a difference that cancels. */
const NEAR = 1e-3;

export const method = defineLabelLoss({
  name: "compsum",
  title: "Comp-sum losses",
  about: "one family from the sum of exponentials over cross-entropy to the mean absolute error",
  cite: "arXiv:2304.07288",
  laws: {
    shiftFree: true,
    favours: true,
    vanishes: true,
    bounded: true,
    ownRow: true,
  },
  options: {
    compsum_tau: {
      type: "number >= 0",
      default: 1.5,
      help: "1: cross-entropy; above, rows that seem wrong count less (2: mean absolute error); below, they count more",
      value: "TAU",
    },
  },
  rows(rec, { logits, targets, values: { compsum_tau: tau } }) {
    const nll = softplus(rec, labelGap(rec, logits, targets)); // log(1 + u)
    const rest = 1 - tau;
    if (Math.abs(rest) < NEAR) return rest === 0 ? nll : add(rec, nll, scale(rec, square(rec, nll), rest / 2));
    return scale(rec, addScalar(rec, exp(rec, scale(rec, nll, rest)), -1), 1 / rest);
  },
});
