/**
 * Simple preference optimization: log-likelihoods per token are the rewards, so there is no reference, and the chosen
 * answer is to be ahead by a margin: -log sigmoid(beta (mean log p_w - mean log p_l) - gamma). Meng et al. 2024,
 * https://arxiv.org/abs/2405.14734; with cross-entropy of the chosen answer beside it, CPO-SimPO; with rewards
 * (1 - p^-a) / a in place of log p, AlphaPO, https://arxiv.org/abs/2501.03884
 */
import { add, addScalar, exp, logSigmoid, neg, scale, sub } from "../../../tensor/ops/elementwise.ts";
import { definePreference } from "../../preferences/contract.ts";
import { LABEL_SMOOTHING } from "../../preferences/pair-loss.ts";
import { smoothed } from "../../preferences/smoothed.ts";

export const method = definePreference({
  name: "simpo",
  title: "Simple preference optimization",
  about: "likelihoods per token are to differ by a margin; no reference",
  cite: "arXiv:2405.14734",
  reference: false,
  options: {
    beta: { type: "number > 0", default: 2, help: "scale of the log-likelihoods per token" },
    gamma: {
      type: "number >= 0",
      default: 1,
      was: ["simpo_gamma"],
      help: "by how much the chosen answer is to be ahead, after beta; half of beta is usual",
      value: "X",
    },
    label_smoothing: LABEL_SMOOTHING(0),
    cpo_alpha: {
      type: "number >= 0",
      default: 0,
      help: "weight of the cross-entropy of the chosen answers",
      value: "X",
    },
    alpha_reward: {
      type: "number >= 0",
      default: 0,
      help: "AlphaPO: rewards (1 - p^-alpha) / alpha of the likelihood per token; 0: log p",
      value: "A",
    },
  },
  loss(rec, { chosen, rejected, nll, values }) {
    const { beta, gamma, label_smoothing: e, cpo_alpha: weight, alpha_reward: a } = values;
    const [won, lost] = [chosen, rejected].map(({ means }) =>
      a === 0 ? means : scale(rec, addScalar(rec, neg(rec, exp(rec, scale(rec, means, -a))), 1), 1 / a),
    ) as [typeof chosen.means, typeof chosen.means];
    const margin = addScalar(rec, scale(rec, sub(rec, won, lost), beta), -gamma);
    const losses = smoothed(rec, margin, e, (x) => neg(rec, logSigmoid(rec, x)));
    return {
      losses: weight === 0 ? losses : add(rec, losses, scale(rec, nll(), weight)),
      rewards: { chosen: scale(rec, won, beta), rejected: scale(rec, lost, beta) },
    };
  },
});
