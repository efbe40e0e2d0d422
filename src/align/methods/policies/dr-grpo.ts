/**
 * GRPO without its two biases: advantages are not divided by the standard deviation of their group, nor answers by
 * their length. Liu et al. 2025, https://arxiv.org/abs/2503.20783
 */
import { definePolicy, EVERY_POLICY_LAW } from "../../policies/contract.ts";

export const method = definePolicy({
  name: "dr-grpo",
  title: "GRPO done right",
  about: "GRPO without division by the group's deviation and the answer's length",
  cite: "arXiv:2503.20783",
  laws: EVERY_POLICY_LAW,
  options: {},
  defaults: { scale_rewards: "none", aggregate: "seq-sum-norm" },
});
