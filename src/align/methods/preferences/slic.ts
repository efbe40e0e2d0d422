/**
 * Sequence likelihood calibration: likelihoods of both answers are to differ by a margin, without a reference, while
 * cross-entropy holds the chosen one: max(0, delta - log p_w + log p_l) + lambda NLL. Zhao et al. 2023 (SLiC-HF),
 * https://arxiv.org/abs/2305.10425; the target of the cross-entropy is the chosen answer
 */
import { relu } from "../../../tensor/ops/activation.ts";
import { add, addScalar, neg, scale, sub } from "../../../tensor/ops/elementwise.ts";
import { definePreference } from "../../preferences/contract.ts";

export const method = definePreference({
  name: "slic",
  title: "Sequence likelihood calibration",
  about: "likelihoods of both answers are to differ by a margin; cross-entropy of the chosen one; no reference",
  cite: "arXiv:2305.10425",
  reference: false,
  options: {
    slic_margin: {
      type: "number > 0",
      default: 1,
      help: "nats by which the chosen answer is to be likelier",
      value: "X",
    },
    slic_nll: {
      type: "number >= 0",
      default: 0.1,
      help: "weight of the cross-entropy of the chosen answers",
      value: "X",
    },
  },
  loss(rec, { chosen, rejected, nll, values: { slic_margin: margin, slic_nll: weight } }) {
    const short = addScalar(rec, neg(rec, sub(rec, chosen.sums, rejected.sums)), margin);
    return {
      losses: add(rec, relu(rec, short), scale(rec, nll(), weight)),
      rewards: { chosen: chosen.sums, rejected: rejected.sums },
    };
  },
});
