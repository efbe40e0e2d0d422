/**
 * REINFORCE leave-one-out: the baseline of an answer is the mean reward of the others to the same prompt, and the ratio
 * is that of the whole answer. Ahmadian et al. 2024, https://arxiv.org/abs/2402.14740
 */
import { groupsIn, leaveOneOut, penalized } from "../../policies/advantages.ts";
import { definePolicy, EVERY_POLICY_LAW } from "../../policies/contract.ts";

export const method = definePolicy({
  name: "rloo",
  title: "REINFORCE leave-one-out",
  about: "rewards less the mean of the other answers to the prompt, on whole answers",
  cite: "arXiv:2402.14740",
  laws: EVERY_POLICY_LAW,
  options: {},
  defaults: { ratio: "product", scale_rewards: "none", kl_in: "reward" },
  advantages: (given) => groupsIn(penalized(given), given.group).flatMap((own) => [...leaveOneOut(own)]),
});
