/**
 * A reward model of Bradley and Terry's preferences: the chance that one answer is preferred to another is the sigmoid
 * of the difference of their rewards, so that the loss of a pair is -log sigmoid(r_w - r_l - m), with the margin m of
 * its row (`margin`, as Llama 2 grades preferences) or 0. Rewards are known up to a constant of the prompt, which
 * --center draws to 0: plus c (r_w + r_l)^2.
 * Ouyang et al. 2022, https://arxiv.org/abs/2203.02155; margins: https://arxiv.org/abs/2307.09288; centred:
 * https://arxiv.org/abs/2312.09244
 */
import { add, logSigmoid, neg, scale, square, sub } from "../../../tensor/ops/elementwise.ts";
import { defineRewardModel } from "../../reward-models/contract.ts";
import { flat, pairMetrics } from "../../reward-models/pair-metrics.ts";

export const method = defineRewardModel({
  name: "reward",
  title: "Bradley-Terry reward model",
  about: "a reward model of pairs: the chosen answer is to have the larger reward",
  cite: "arXiv:2203.02155",
  reads: "pairs",
  labels: () => 1,
  options: {
    center: {
      type: "number >= 0",
      default: 0,
      help: "weight of the squared sum of both rewards, which draws their mean to 0; 0.01 is usual",
      value: "C",
    },
  },

  loss(rec, { chosen, rejected, margins, values }) {
    const [won, lost] = [flat(rec, chosen), flat(rec, rejected)];
    const apart = sub(rec, won, lost);
    const own = neg(rec, logSigmoid(rec, sub(rec, apart, margins)));
    const whole = values.center > 0 ? add(rec, own, scale(rec, square(rec, add(rec, won, lost)), values.center)) : own;
    return {
      losses: whole,
      metrics: {
        ...pairMetrics(rec, apart),
        reward_chosen: won,
        reward_rejected: lost,
        reward: scale(rec, add(rec, won, lost), 0.5),
      },
    };
  },
});
