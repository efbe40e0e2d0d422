/**
 * A loss that a search by a language model found: the sigmoid loss and an exponential one, mixed by the margin itself:
 * (1 - m) (-log sigmoid(x)) + m exp(-x), m = sigmoid(x / tau), x = beta delta. Lu et al. 2024,
 * https://arxiv.org/abs/2406.08414
 */
import { add, exp, logSigmoid, mul, neg, scale, sigmoid, sub } from "../../../tensor/ops/elementwise.ts";
import { definePairLoss } from "../../preferences/pair-loss.ts";

export const method = definePairLoss({
  name: "discopop",
  title: "Discovered preference optimization",
  about: "mix the sigmoid loss and an exponential one by the margin",
  cite: "arXiv:2406.08414",
  options: {
    discopop_tau: {
      type: "number > 0",
      default: 0.05,
      help: "width of the margins over which the two are mixed",
      value: "T",
    },
  },
  loss(rec, { chosen, rejected, beta, values: { discopop_tau: tau } }) {
    const margin = scale(rec, sub(rec, chosen.score, rejected.score), beta);
    const share = sigmoid(rec, scale(rec, margin, 1 / tau));
    const logistic = neg(rec, logSigmoid(rec, margin));
    return add(rec, logistic, mul(rec, share, sub(rec, exp(rec, neg(rec, margin)), logistic)));
  },
});
