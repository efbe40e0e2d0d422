/**
 * Proximal policy optimization: advantages by a value head that is trained beside the model, as a discounted sum of its
 * errors (GAE), whitened; a clipped surrogate, and a clipped loss of the head. Rewards of tokens pay for the divergence
 * from the model as it was. Schulman et al. 2017, https://arxiv.org/abs/1707.06347; Ziegler et al. 2019,
 * https://arxiv.org/abs/1909.08593
 *
 * The head reads what the model's own reads, and its loss trains the model too, times --value-weight. Of a new head
 * the rate is ten times that of the model, as it often is of a critic.
 */
import { add, clamp, maximum, scale, square, sub } from "../../../tensor/ops/elementwise.ts";
import { definePolicy, EVERY_POLICY_LAW } from "../../policies/contract.ts";

export const method = definePolicy({
  name: "ppo",
  title: "Proximal policy optimization",
  about: "advantages by a value head, and a clipped surrogate",
  cite: "arXiv:1707.06347",
  laws: {
    ...EVERY_POLICY_LAW,
    zeroSum: "the baseline is what the value head foretells",
    equalRewards: "the baseline is what the value head foretells",
    shiftFree: "the value head learns of the shift over several rollouts",
  },
  options: {
    gamma: { type: "0 <= number <= 1", default: 1, help: "what a reward counts one token earlier" },
    gae_lambda: { type: "0 <= number <= 1", default: 0.95, help: "what the next token's error counts; 1: returns" },
    value_weight: { type: "number >= 0", default: 0.1, help: "weight of the loss of the value head", value: "W" },
    value_lr: {
      type: "number > 0",
      help: "peak learning rate of the value head; ten times --lr when left out",
      value: "RATE",
    },
    value_clip: {
      type: "number > 0",
      default: 0.2,
      help: "how far an estimate may move from that of the rollout before it counts",
      value: "X",
    },
  },
  defaults: {
    group: 1,
    updates: 4,
    aggregate: "global-token",
    scale_rewards: "none",
    whiten: true,
    kl: 0.05,
    kl_in: "reward",
  },
  advantages({ rewards, penalties, estimates, lengths, values: { gamma, gae_lambda: lambda } }) {
    return lengths.map((length, row) => {
      const [foretold, paid] = [estimates![row]!, penalties?.[row]];
      const advantages = new Float64Array(length);
      for (let t = length - 1, after = 0; t >= 0; t--) {
        const reward = (t === length - 1 ? rewards[row]! : 0) - (paid?.[t] ?? 0);
        const error = reward + gamma * (t === length - 1 ? 0 : foretold[t + 1]!) - foretold[t]!;
        after = error + gamma * lambda * after;
        advantages[t] = after;
      }
      return advantages;
    });
  },
  valueRate: ({ value_lr: rate }, lr) => rate ?? 10 * lr,
  value(rec, { estimates, old, returns, values: { value_weight: weight, value_clip: most } }) {
    const near = add(rec, old, clamp(rec, sub(rec, estimates, old), -most, most));
    const apart = maximum(rec, square(rec, sub(rec, estimates, returns)), square(rec, sub(rec, near, returns)));
    return scale(rec, apart, 0.5 * weight);
  },
});
