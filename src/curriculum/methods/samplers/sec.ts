/**
 * Self-Evolving Curriculum: a bandit over groups whose values decay where nothing is drawn. Chen et al. 2025,
 * https://arxiv.org/abs/2505.14970.
 *
 *   Q_c <- (1 - alpha) Q_c + alpha r_c,  p = softmax(Q / tau);  r_c = 0 for groups that were not drawn
 *
 * In the paper r_c is the mean absolute advantage of the answers, as align --curriculum sec has it; here it is the
 * change of the held-out loss (reward.ts). Other rules: epsilon-greedy, and shares in proportion to max(Q, 0.01).
 */

import { decayed, sharesOf } from "../../../run/bandits.ts";
import { defineSampler } from "../../contract.ts";
import { EVERY } from "../../mixture-options.ts";
import { BANDIT_LAWS, type LastLosses, REWARD, rewardsOf } from "../../reward.ts";
import { kept } from "../../sampler-state.ts";

export const method = defineSampler({
  name: "sec",
  title: "Self-Evolving Curriculum",
  about: "a bandit on loss changes that forgets groups it does not draw",
  cite: "arXiv:2505.14970",
  needs: ["losses"],
  laws: BANDIT_LAWS,
  trials: [{}, { rule: "greedy" }, { rule: "proportional", reward: "raw" }],
  options: {
    alpha: { type: "0 < number <= 1", default: 0.5, help: "weight of the newest reward" },
    tau: { type: "number > 0", default: 1, help: "temperature; large is uniform" },
    rule: { type: "'softmax' | 'greedy' | 'proportional'", default: "softmax", help: "from values to shares" },
    epsilon: { type: "0 <= number <= 1", default: 0.1, help: "share of the uniform mixture with --rule greedy" },
    reward: REWARD,
    every: EVERY,
  },
  make({ groups, values: { alpha, tau, rule, epsilon, reward, every } }) {
    const seen: LastLosses = { losses: [] };
    const memory = { values: groups.map(() => 0), ...seen };
    return {
      ...kept(memory),
      segment: () => ({
        probs: sharesOf(memory.values, { rule, tau, epsilon }),
        steps: memory.losses.length === 0 ? 0 : every,
      }),
      update({ losses = groups.map(() => Number.NaN), drawn }) {
        const changes = rewardsOf(memory, losses, reward);
        const gained = changes.map((change, i) => (drawn[i] === 0 ? 0 : change));
        memory.values = decayed(memory.values, gained, alpha);
      },
      notes: () => ({ values: memory.values }),
    };
  },
});
