/**
 * DUMP: an upper confidence bound for every group, then a sharp softmax. Wang et al. 2025,
 * https://arxiv.org/abs/2504.09710.
 *
 *   score_d = mean of the last `window` rewards + c sqrt(2 ln(N + 1) / (n_d + 1)),  p = softmax(score / tau)
 *
 * n_d rows of group d were drawn so far, N of all. In the paper rewards are absolute advantages, one per answer, and
 * the window holds 300, as align --curriculum dump has it; here the reward is the change of the held-out loss
 * (reward.ts), one per update in which the group was drawn. The counts never forget: late in the run the mean alone
 * decides, so the notes hold both terms.
 */

import { confidenceBonus } from "../../../run/bandits.ts";
import { softmax } from "../../../run/simplex.ts";
import { defineSampler } from "../../contract.ts";
import { EVERY } from "../../mixture-options.ts";
import { BANDIT_LAWS, type LastLosses, REWARD, rewardsOf } from "../../reward.ts";
import { kept } from "../../sampler-state.ts";

export const method = defineSampler({
  name: "dump",
  title: "DUMP",
  about: "draws by loss change plus a bonus for groups drawn seldom",
  cite: "arXiv:2504.09710",
  needs: ["losses"],
  laws: BANDIT_LAWS,
  options: {
    c: { type: "number >= 0", default: 1, help: "weight of the bonus" },
    tau: { type: "number > 0", default: 0.1, help: "temperature; small takes the best group alone" },
    window: { type: "number.integer >= 1", default: 5, help: "updates whose rewards are averaged" },
    reward: REWARD,
    every: EVERY,
  },
  make({ groups, values: { c, tau, window, reward, every } }) {
    const seen: LastLosses = { losses: [] };
    const memory = { rewards: groups.map(() => [] as number[]), counts: groups.map(() => 0), ...seen };
    const means = () => memory.rewards.map((last) => last.reduce((a, b) => a + b, 0) / Math.max(1, last.length));
    return {
      ...kept(memory),
      segment() {
        const bonus = confidenceBonus(memory.counts, c);
        const scores = means().map((mean, i) => (mean + bonus[i]!) / tau);
        return { probs: softmax(scores), steps: memory.losses.length === 0 ? 0 : every };
      },
      update({ losses = groups.map(() => Number.NaN), drawn }) {
        const changes = rewardsOf(memory, losses, reward);
        memory.rewards = memory.rewards.map((last, i) =>
          drawn[i]! > 0 && Number.isFinite(changes[i]) ? [...last, changes[i]!].slice(-window) : last,
        );
        memory.counts = memory.counts.map((count, i) => count + drawn[i]!);
      },
      notes: () => ({ means: means(), bonus: confidenceBonus(memory.counts, c) }),
    };
  },
});
