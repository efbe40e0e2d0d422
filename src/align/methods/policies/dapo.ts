/**
 * Decoupled clip and dynamic sampling policy optimization: GRPO that clips higher above than below, averages over all
 * tokens, draws prompts anew until groups of differing rewards fill the batch, and takes a growing penalty off answers
 * that come near the largest length. Yu et al. 2025, https://arxiv.org/abs/2503.14476
 *
 * The penalty is on with --overlong alone, because the paper's 4096 tokens are of answers of 20480.
 */
import { definePolicy, EVERY_POLICY_LAW } from "../../policies/contract.ts";

export const method = definePolicy({
  name: "dapo",
  title: "Decoupled clip and dynamic sampling",
  about: "GRPO that clips higher, averages over tokens and leaves out groups of equal rewards",
  cite: "arXiv:2503.14476",
  laws: EVERY_POLICY_LAW,
  options: {},
  defaults: { clip_high: 0.28, aggregate: "global-token", dynamic_sampling: true },
});
