/**
 * Group sequence policy optimization: the importance of an answer is the geometric mean of its tokens' ratios, and
 * whole answers are clipped. Zheng et al. 2025, https://arxiv.org/abs/2507.18071
 */
import { definePolicy, EVERY_POLICY_LAW } from "../../policies/contract.ts";

export const method = definePolicy({
  name: "gspo",
  title: "Group sequence policy optimization",
  about: "GRPO whose ratios and clipping are of whole answers",
  cite: "arXiv:2507.18071",
  laws: EVERY_POLICY_LAW,
  options: {},
  defaults: { ratio: "sequence", clip_low: 3e-4, clip_high: 4e-4 },
});
