/**
 * Reward ranked fine-tuning: cross-entropy of the best of the answers to each prompt. Dong et al. 2023,
 * https://arxiv.org/abs/2304.06767
 */
import { definePolicy } from "../../policies/contract.ts";
import { choiceOf, SELF_TRAINED, SELF_TRAINING } from "../../policies/self-training.ts";

export const method = definePolicy({
  name: "raft",
  title: "Reward ranked fine-tuning",
  about: "cross-entropy of the best answers to each prompt",
  cite: "arXiv:2304.06767",
  ...SELF_TRAINED,
  options: { ...SELF_TRAINING, top: { ...SELF_TRAINING.top, default: 1 } },
  defaults: { aggregate: "global-token" },
  choice: choiceOf(),
});
