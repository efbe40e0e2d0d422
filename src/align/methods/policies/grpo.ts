/**
 * Group relative policy optimization: PPO's clipped surrogate whose advantage is the reward less the mean of the
 * answers to the same prompt, over their standard deviation; no value model. Shao et al. 2024,
 * https://arxiv.org/abs/2402.03300
 */
import { definePolicy, EVERY_POLICY_LAW } from "../../policies/contract.ts";

export const method = definePolicy({
  name: "grpo",
  title: "Group relative policy optimization",
  about: "rewards normalised among the answers to one prompt, and a clipped surrogate",
  cite: "arXiv:2402.03300",
  laws: EVERY_POLICY_LAW,
  options: {},
});
