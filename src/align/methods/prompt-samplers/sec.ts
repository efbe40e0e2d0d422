/**
 * Self-Evolving Curriculum: a bandit over groups of prompts whose values decay where nothing is drawn. Chen et al.
 * 2025, https://arxiv.org/abs/2505.14970
 *
 *   Q_c <- (1 - alpha) Q_c + alpha r_c,  p = softmax(Q / tau)
 *
 * r_c is the mean over the answers of the rollout of mean |advantage|, 0 of a group that was not drawn. With rewards of
 * 0 and 1, of which a share q is 1, it is 2 sqrt(q (1 - q)): largest where half of the answers are right.
 */
import { decayed, sharesOf } from "../../../run/bandits.ts";
import { definePromptSampler } from "../../policies/prompt-samplers/contract.ts";
import { listsOf } from "../../policies/prompt-samplers/memory.ts";

const mean = (sizes: readonly number[]): number => sizes.reduce((a, b) => a + b, 0) / Math.max(1, sizes.length);

export const method = definePromptSampler({
  name: "sec",
  title: "Self-Evolving Curriculum",
  about: "draws groups by the recent size of their advantages, and forgets those that it does not draw",
  cite: "arXiv:2505.14970",
  options: {
    arm_rate: { type: "0 < number <= 1", default: 0.5, help: "weight of the newest rollout in a group's value" },
    arm_temperature: { type: "number > 0", default: 1, help: "of the softmax over values; large is uniform" },
    arm_rule: {
      type: "'softmax' | 'greedy' | 'proportional'",
      default: "softmax",
      help: "from values to shares: softmax, the largest value, or in proportion to values",
    },
    arm_epsilon: {
      type: "0 <= number <= 1",
      default: 0.1,
      with: { arm_rule: "greedy" },
      help: "share that all groups have alike",
    },
  },
  make(groups, { arm_rate: alpha, arm_temperature: tau, arm_rule: rule, arm_epsilon: epsilon }) {
    const memory = { lists: Array.from({ length: groups }, () => [0]) };
    const values = () => memory.lists.map(([value]) => value!);
    return {
      ...listsOf(memory),
      shares: () => sharesOf(values(), { rule, tau, epsilon }),
      heard(sizes) {
        memory.lists = decayed(values(), sizes.map(mean), alpha).map((value) => [value]);
      },
      told: () => ({ value: values() }),
    };
  },
});
