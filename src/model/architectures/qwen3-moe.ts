/** Qwen3-MoE: Qwen3 with k of E experts. https://arxiv.org/abs/2505.09388 */
import type { Architecture } from "../architecture.ts";
import { type QwenMoeConfig, qwenMoe } from "../blocks/qwen-moe.ts";

export const method: Architecture<QwenMoeConfig> = {
  name: "qwen3_moe",
  title: "Qwen3-MoE",
  about: "Qwen3 with k of E experts",
  cite: "arXiv:2505.09388",
  options: {},
  ...qwenMoe(false),
};
