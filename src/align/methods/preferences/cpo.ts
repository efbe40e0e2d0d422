/**
 * Contrastive preference optimization: DPO with a uniform reference, so that only the model's own likelihoods count,
 * and cross-entropy of the chosen answers. Xu et al. 2024, https://arxiv.org/abs/2401.08417
 */
import { relu } from "../../../tensor/ops/activation.ts";
import { add, addScalar, logSigmoid, neg, scale, square, sub } from "../../../tensor/ops/elementwise.ts";
import { definePreference } from "../../preferences/contract.ts";
import { LABEL_SMOOTHING } from "../../preferences/pair-loss.ts";
import { smoothed } from "../../preferences/smoothed.ts";

export const method = definePreference({
  name: "cpo",
  title: "Contrastive preference optimization",
  about: "DPO without a reference, with cross-entropy of the chosen answers",
  cite: "arXiv:2401.08417",
  reference: false,
  options: {
    beta: { type: "number > 0", default: 0.1, help: "scale of the log-likelihoods" },
    cpo_loss: {
      type: "'sigmoid' | 'hinge' | 'ipo'",
      default: "sigmoid",
      help: "form of the loss of the margin; ipo of likelihoods per token",
    },
    label_smoothing: { ...LABEL_SMOOTHING(0), with: { cpo_loss: "sigmoid" } },
    cpo_alpha: {
      type: "number >= 0",
      default: 1,
      help: "weight of the cross-entropy of the chosen answers",
      value: "X",
    },
  },
  loss(rec, { chosen, rejected, nll, values }) {
    const { beta, cpo_loss: form, label_smoothing: e, cpo_alpha: weight } = values;
    const [won, lost] = form === "ipo" ? [chosen.means, rejected.means] : [chosen.sums, rejected.sums];
    const margin = sub(rec, won, lost);
    const scaled = scale(rec, margin, beta);
    const losses =
      form === "ipo"
        ? square(rec, addScalar(rec, margin, -1 / (2 * beta)))
        : form === "hinge"
          ? relu(rec, addScalar(rec, neg(rec, scaled), 1))
          : smoothed(rec, scaled, e, (x) => neg(rec, logSigmoid(rec, x)));
    return {
      losses: weight === 0 ? losses : add(rec, losses, scale(rec, nll(), weight)),
      rewards: { chosen: scale(rec, won, beta), rejected: scale(rec, lost, beta) },
    };
  },
});
