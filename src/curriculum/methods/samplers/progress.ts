/**
 * Draws groups by their recent progress: Graves et al. 2017, https://arxiv.org/abs/1704.03003, and Matiisen et al.
 * 2017, https://arxiv.org/abs/1707.00183.
 *
 *   Q_k <- (1 - alpha) Q_k + alpha |L_k(t) - L_k(t-1)|,  p = smooth(softmax(Q / tau), epsilon)
 *
 * Held-out losses of all groups are known at every update, so groups that were not drawn have a reward too.
 */

import { smoothed, softmax } from "../../../run/simplex.ts";
import { defineSampler } from "../../contract.ts";
import { EVERY } from "../../mixture-options.ts";
import { BANDIT_LAWS, type LastLosses, REWARD, rewardsOf } from "../../reward.ts";
import { kept } from "../../sampler-state.ts";

export const method = defineSampler({
  name: "progress",
  title: "Loss progress",
  about: "draws groups by how much their loss changed recently",
  cite: "arXiv:1704.03003",
  needs: ["losses"],
  laws: BANDIT_LAWS,
  options: {
    alpha: { type: "0 < number <= 1", default: 0.3, help: "weight of the newest change" },
    tau: { type: "number > 0", default: 0.3, help: "temperature; large is uniform" },
    epsilon: { type: "0 <= number <= 1", default: 0.05, help: "share of the uniform mixture that is mixed in" },
    reward: REWARD,
    every: EVERY,
  },
  make({ groups, values: { alpha, tau, epsilon, reward, every } }) {
    const seen: LastLosses = { losses: [] };
    const memory = { values: groups.map(() => 0), ...seen };
    return {
      ...kept(memory),
      segment: () => ({
        probs: smoothed(softmax(memory.values.map((q) => q / tau)), epsilon),
        steps: memory.losses.length === 0 ? 0 : every,
      }),
      update({ losses = groups.map(() => Number.NaN) }) {
        const changes = rewardsOf(memory, losses, reward);
        memory.values = memory.values.map((q, i) =>
          Number.isFinite(changes[i]) ? (1 - alpha) * q + alpha * changes[i]! : q,
        );
      },
      notes: () => ({ values: memory.values }),
    };
  },
});
