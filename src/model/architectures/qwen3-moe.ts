/** Qwen3-MoE: Qwen3 with k of E experts. https://arxiv.org/abs/2505.09388 */
import type { Architecture } from "../architecture.ts";
import { decoderConfig, qkNorm } from "../blocks/decoder-config.ts";
import { type QwenMoeConfig, qwenMoeConfig, qwenMoeDecoder } from "../blocks/qwen-moe.ts";
import { ConfigReader } from "../config.ts";

export const method: Architecture<QwenMoeConfig> = {
  name: "qwen3_moe",
  title: "Qwen3-MoE",
  about: "Qwen3 with k of E experts",
  cite: "arXiv:2505.09388",
  options: {},
  className: "Qwen3MoeForCausalLM",
  ...qwenMoeDecoder,

  config(json, where) {
    const c = new ConfigReader(json, where);
    c.only("use_sliding_window", false);
    const bias = c.flag("attention_bias", false);
    const decoder = decoderConfig(json, where, {
      bias: { qkv: bias, o: bias, mlp: false },
      qkNorm: qkNorm("head"),
      tied: false,
    });
    return qwenMoeConfig(c, where, decoder, { experts: 128, perToken: 8, sharedInner: 0 });
  },
};
