/**
 * Qwen3-Next: a state in three of four layers, attention with gated heads in the fourth; many small experts, and one
 * that all tokens share. https://qwen.ai/blog?id=4074cca80393150c248e508aa62983f9cb7d27cd
 */
import type { Architecture } from "../architecture.ts";
import { causalDecoder } from "../blocks/causal-decoder.ts";
import { decoderConfig } from "../blocks/decoder-config.ts";
import { type DeltaNetConfig, deltaNet, deltaNetAttention, deltaNetSizes } from "../blocks/delta-net.ts";
import { type QwenMoeConfig, qwenMoeConfig, qwenMoeFeedForward, qwenMoeImplied } from "../blocks/qwen-moe.ts";
import { ConfigReader } from "../config.ts";

type Qwen3NextConfig = DeltaNetConfig & QwenMoeConfig;

export const method: Architecture<Qwen3NextConfig> = {
  name: "qwen3_next",
  title: "Qwen3-Next",
  about: "a state in place of keys and values in three of four layers, gated attention in the fourth, k of E experts",
  cite: "arXiv:2412.06464",
  options: {},
  className: "Qwen3NextForCausalLM",
  ...causalDecoder<Qwen3NextConfig>(qwenMoeFeedForward, { attention: deltaNetAttention, implied: qwenMoeImplied }),
  sizes: deltaNetSizes,

  config(json, where) {
    const c = new ConfigReader(json, where);
    const { delta, traits } = deltaNet(c, { heads: 32, grouped: true });
    const defaults = { ...traits.defaults, num_key_value_heads: 2, intermediate_size: 5632 };
    const decoder = { ...decoderConfig(json, where, { ...traits, defaults, tied: false }), delta };
    const own = { experts: 512, perToken: 10, expertInner: 512, normalize: true };
    return qwenMoeConfig(c, where, decoder, { ...own, sharedInner: c.count("shared_expert_intermediate_size", 512) });
  },
};
