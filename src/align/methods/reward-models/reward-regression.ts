/**
 * A reward model of scores: the head's number is drawn to the score of the row (`score`) by its square, as the heads of
 * verifiers and of ratings of attributes are trained.
 * Cobbe et al. 2021, https://arxiv.org/abs/2110.14168; Wang et al. 2024 (HelpSteer2), https://arxiv.org/abs/2406.08673
 */
import { abs, square, sub } from "../../../tensor/ops/elementwise.ts";
import { defineRewardModel } from "../../reward-models/contract.ts";
import { flat } from "../../reward-models/pair-metrics.ts";

export const method = defineRewardModel({
  name: "reward-regression",
  title: "Reward model of scores",
  about: "a reward model of single answers: the reward is the row's score",
  cite: "arXiv:2110.14168",
  reads: "scores",
  labels: () => 1,
  options: {},

  loss(rec, { rewards, scores }) {
    const apart = flat(rec, sub(rec, rewards, scores));
    return { losses: square(rec, apart), metrics: { error: abs(rec, apart), reward: flat(rec, rewards) } };
  },
});
