/**
 * Cross-entropy times a weight of the label: one over the effective number of its rows, (1 - b) / (1 - b^n), or over
 * their number, with mean 1 over labels. Cui et al., CVPR 2019, https://arxiv.org/abs/1901.05555
 *
 * Deferred weights are 1 for a share of the steps, as LDAM-DRW has them. Cao et al., NeurIPS 2019,
 * https://arxiv.org/abs/1906.07413
 */
import { defineLabelLoss } from "../../../run/training/label-loss.ts";
import { crossEntropy } from "../../../tensor/ops/cross-entropy.ts";
import { addScalar, mul, scale } from "../../../tensor/ops/elementwise.ts";
import { dynamic } from "../../../tensor/recorder.ts";
import { labelWeights, ofLabel } from "../../losses/label-scores.ts";

/** Name of the number that is 1 once weights count. */
const WEIGHED = "balance_weighed";

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
    balance_from: {
      type: "0 <= number <= 1",
      default: 0,
      help: "share of the steps before which all labels weigh 1",
      value: "F",
    },
  },
  course: ({ balance_from: from }) => (from > 0 ? (done) => ({ [WEIGHED]: done >= from ? 1 : 0 }) : undefined),
  rows(rec, { logits, targets, values: { balance_by: by, balance_beta: beta, balance_from: from }, counts }) {
    const nll = crossEntropy(rec, logits, targets);
    const weights = labelWeights(counts, by === "effective" ? beta : undefined);
    if (from === 0) return mul(rec, nll, ofLabel(rec, weights, targets));
    const beyond = ofLabel(
      rec,
      weights.map((weight) => weight - 1),
      targets,
    );
    return mul(rec, nll, addScalar(rec, scale(rec, beyond, dynamic(WEIGHED)), 1));
  },
});
