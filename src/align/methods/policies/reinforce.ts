/**
 * REINFORCE with a baseline: -(R - b) times the log-probability of the whole answer, b the mean reward of the other
 * answers of the rollout. Williams 1992, https://doi.org/10.1007/BF00992696
 */
import { mul, neg } from "../../../tensor/ops/elementwise.ts";
import { groupsIn, leaveOneOut, penalized } from "../../policies/advantages.ts";
import { definePolicy, EVERY_POLICY_LAW } from "../../policies/contract.ts";

export const method = definePolicy({
  name: "reinforce",
  title: "REINFORCE",
  about: "rewards less a baseline times the log-probability of the answer",
  cite: "doi:10.1007/BF00992696",
  laws: {
    ...EVERY_POLICY_LAW,
    clipped: "nothing is clipped",
    zeroSum: "the baseline is that of the whole rollout",
    equalRewards: "the baseline is that of the whole rollout",
    shiftFree: "--baseline none has none",
  },
  options: {
    baseline: {
      type: "'rollout' | 'group' | 'none'",
      default: "rollout",
      help: "mean reward of the other answers: of the rollout, or of those to the same prompt",
    },
  },
  defaults: { aggregate: "seq-sum", scale_rewards: "none", kl_in: "reward", group: 1 },
  advantages(given) {
    const rewards = penalized(given);
    const { baseline } = given.values;
    if (baseline === "none") return [...rewards];
    return baseline === "rollout"
      ? [...leaveOneOut(rewards)]
      : groupsIn(rewards, given.group).flatMap((own) => [...leaveOneOut(own)]);
  },
  tokens: (rec, { logProbs, advantages }) => neg(rec, mul(rec, logProbs, advantages)),
});
