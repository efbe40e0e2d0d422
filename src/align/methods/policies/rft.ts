/**
 * Rejection sampling fine-tuning: cross-entropy of all different answers that are right. Yuan et al. 2023,
 * https://arxiv.org/abs/2308.01825
 *
 * Expert iteration is the same with rollouts of many prompts and several passes over each: Anthony et al. 2017,
 * https://arxiv.org/abs/1705.08439
 */
import { definePolicy } from "../../policies/contract.ts";
import { choiceOf, SELF_TRAINED, SELF_TRAINING } from "../../policies/self-training.ts";

export const method = definePolicy({
  name: "rft",
  title: "Rejection sampling fine-tuning",
  about: "cross-entropy of all different right answers",
  cite: "arXiv:2308.01825",
  ...SELF_TRAINED,
  options: { ...SELF_TRAINING, least: { ...SELF_TRAINING.least, default: 0.5 } },
  defaults: { aggregate: "global-token" },
  choice: choiceOf(),
});
