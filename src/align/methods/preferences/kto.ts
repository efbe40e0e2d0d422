/**
 * Kahneman-Tversky optimization: answers are wanted or not, without pairs. The gain of an answer over the reference is
 * judged against how far the model has moved in all, z: wanted ones lose 1 - sigmoid(beta (gain - z)), others 1 -
 * sigmoid(beta (z - gain)). z is the mean gain of the answers of other rows to the prompts of the batch, at least 0,
 * without gradient. Ethayarajh et al. 2024, https://arxiv.org/abs/2402.01306. With z = 0, APO zero of single answers.
 */
import { relu } from "../../../tensor/ops/activation.ts";
import { add, addScalar, mul, neg, scale, sigmoid, stopGradient, sub } from "../../../tensor/ops/elementwise.ts";
import { mean } from "../../../tensor/ops/reduce.ts";
import { definePreference } from "../../preferences/contract.ts";

export const method = definePreference({
  name: "kto",
  title: "Kahneman-Tversky optimization",
  about: "learn from single answers that are wanted or not, against how far the model has moved",
  cite: "arXiv:2402.01306",
  reads: "answers",
  reference: true,
  options: {
    beta: { type: "number > 0", default: 0.1, help: "how closely the model is held to the reference" },
    desirable_weight: { type: "number >= 0", default: 1, help: "weight of answers that are wanted", value: "W" },
    undesirable_weight: { type: "number >= 0", default: 1, help: "weight of answers that are not", value: "W" },
    kto_anchor: {
      type: "'kl' | 'zero'",
      default: "kl",
      help: "what gains are judged against: how far the model has moved on other answers, or 0",
    },
  },
  loss(rec, { chosen, rejected, wanted, values }) {
    const { beta, desirable_weight: up, undesirable_weight: down, kto_anchor: anchor } = values;
    const gain = sub(rec, chosen.sums, chosen.reference.sums);
    const moved = () => stopGradient(rec, relu(rec, mean(rec, sub(rec, rejected.sums, rejected.reference.sums))));
    const z = anchor === "kl" ? moved() : undefined;
    const ahead = z ? sub(rec, gain, z) : gain;
    const lost = (x: typeof gain, weight: number) =>
      scale(rec, addScalar(rec, neg(rec, sigmoid(rec, scale(rec, x, beta))), 1), weight);
    const unwanted = addScalar(rec, neg(rec, wanted), 1);
    const losses = add(rec, mul(rec, wanted, lost(ahead, up)), mul(rec, unwanted, lost(neg(rec, ahead), down)));
    const reward = scale(rec, gain, beta);
    return { losses, rewards: { chosen: reward, rejected: reward }, ...(z ? { metrics: { kl: z } } : {}) };
  },
});
