/**
 * Qwen2-MoE: Qwen2 with k of E experts and one that all tokens share, behind its own gate.
 * https://arxiv.org/abs/2407.10671
 */
import type { Architecture } from "../architecture.ts";
import { type QwenMoeConfig, qwenMoe } from "../blocks/qwen-moe.ts";

export const method: Architecture<QwenMoeConfig> = {
  name: "qwen2_moe",
  title: "Qwen2-MoE",
  about: "Qwen2 with k of E experts and one that all tokens share, behind its own gate",
  cite: "arXiv:2407.10671",
  options: {},
  ...qwenMoe(true),
};
