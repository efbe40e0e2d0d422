/**
 * REINFORCE++: rewards of tokens, of which the last has the answer's reward and each pays for its divergence from the
 * model as it was; returns to come, whitened over all tokens of the rollout; PPO's clip. Hu et al. 2025,
 * https://arxiv.org/abs/2501.03262
 */
import { meanOf } from "../../policies/advantages.ts";
import { definePolicy, EVERY_POLICY_LAW } from "../../policies/contract.ts";

export const method = definePolicy({
  name: "reinforce-plus-plus",
  title: "REINFORCE++",
  about: "returns of tokens whitened over the rollout, without groups, and a clipped surrogate",
  cite: "arXiv:2501.03262",
  laws: {
    ...EVERY_POLICY_LAW,
    zeroSum: "the baseline is that of the whole rollout",
    equalRewards: "the baseline is that of the whole rollout",
  },
  options: {
    gamma: { type: "0 <= number <= 1", default: 1, help: "what a reward counts one token earlier" },
    baseline: {
      type: "'none' | 'group'",
      default: "none",
      help: "take the mean reward of the answers to the same prompt off first",
    },
  },
  defaults: {
    group: 1,
    scale_rewards: "none",
    aggregate: "global-token",
    kl: 0.001,
    kl_in: "reward",
    whiten: true,
  },
  advantages({ rewards, penalties, lengths, group, values: { gamma, baseline } }) {
    return lengths.map((length, row) => {
      const paid = penalties?.[row];
      const from = row - (row % group);
      const returns = new Float64Array(length);
      let after = rewards[row]! - (baseline === "group" ? meanOf(rewards.subarray(from, from + group)) : 0);
      for (let t = length - 1; t >= 0; t--) {
        after = (t === length - 1 ? after : gamma * after) - (paid?.[t] ?? 0);
        returns[t] = after;
      }
      return returns;
    });
  },
});
