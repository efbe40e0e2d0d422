/**
 * Qwen2-MoE: Qwen2 with k of E experts and one that all tokens share, behind its own gate.
 * https://arxiv.org/abs/2407.10671
 */
import type { Architecture } from "../architecture.ts";
import { decoderConfig } from "../blocks/decoder-config.ts";
import { type QwenMoeConfig, qwenMoeConfig, qwenMoeDecoder } from "../blocks/qwen-moe.ts";
import { ConfigReader } from "../config.ts";

export const method: Architecture<QwenMoeConfig> = {
  name: "qwen2_moe",
  title: "Qwen2-MoE",
  about: "Qwen2 with k of E experts and one that all tokens share, behind its own gate",
  cite: "arXiv:2407.10671",
  options: {},
  className: "Qwen2MoeForCausalLM",
  ...qwenMoeDecoder,

  config(json, where) {
    const c = new ConfigReader(json, where);
    c.only("use_sliding_window", false);
    const bias = { qkv: c.flag("qkv_bias", true), o: false, mlp: false };
    const decoder = decoderConfig(json, where, { bias, tied: false });
    const sharedInner = c.count("shared_expert_intermediate_size");
    return qwenMoeConfig(c, where, decoder, { experts: 60, perToken: 4, sharedInner });
  },
};
