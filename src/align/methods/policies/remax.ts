/**
 * ReMax: REINFORCE whose baseline is the reward of the most likely answer to the prompt. Li et al. 2023,
 * https://arxiv.org/abs/2310.10505
 */
import { mul, neg } from "../../../tensor/ops/elementwise.ts";
import { penalized } from "../../policies/advantages.ts";
import { definePolicy, EVERY_POLICY_LAW } from "../../policies/contract.ts";

export const method = definePolicy({
  name: "remax",
  title: "ReMax",
  about: "REINFORCE whose baseline is the reward of the greedy answer",
  cite: "arXiv:2310.10505",
  laws: {
    ...EVERY_POLICY_LAW,
    clipped: "nothing is clipped",
    zeroSum: "the baseline is that of the greedy answer",
    equalRewards: "the greedy answer may have another reward",
  },
  options: {},
  greedy: true,
  defaults: { group: 1, aggregate: "seq-sum", scale_rewards: "none", kl_in: "reward" },
  advantages(given) {
    const { greedy, group } = given;
    return Array.from(penalized(given), (reward, row) => reward - greedy![Math.floor(row / group)]!);
  },
  tokens: (rec, { logProbs, advantages }) => neg(rec, mul(rec, logProbs, advantages)),
});
