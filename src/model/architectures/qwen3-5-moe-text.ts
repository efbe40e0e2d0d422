/**
 * Qwen3.5-MoE, its language model: Qwen3.5 with k of E experts, which two tensors a layer hold, and one that all tokens
 * share. https://qwen.ai/blog?id=qwen3.5
 */
import type { Architecture } from "../architecture.ts";
import { causalDecoder } from "../blocks/causal-decoder.ts";
import { decoderConfig } from "../blocks/decoder-config.ts";
import { type DeltaNetConfig, deltaNet, deltaNetAttention, deltaNetSizes } from "../blocks/delta-net.ts";
import { type QwenMoeConfig, qwenMoeConfig, qwenMoeFeedForward, qwenMoeImplied } from "../blocks/qwen-moe.ts";
import { ConfigReader } from "../config.ts";

type Qwen35MoeConfig = DeltaNetConfig & QwenMoeConfig;

export const method: Architecture<Qwen35MoeConfig> = {
  name: "qwen3_5_moe_text",
  title: "Qwen3.5-MoE",
  about: "Qwen3.5 with k of E experts, all of a layer in two tensors, and one that all tokens share",
  cite: "arXiv:2412.06464",
  options: {},
  className: "Qwen3_5MoeForCausalLM",
  ...causalDecoder<Qwen35MoeConfig>(qwenMoeFeedForward, { attention: deltaNetAttention, implied: qwenMoeImplied }),
  sizes: deltaNetSizes,

  config(json, where) {
    const c = new ConfigReader(json, where);
    const { delta, traits } = deltaNet(c, { heads: 32, grouped: false });
    c.has("mamba_ssm_dtype"); // the state is f32 here
    c.only("norm_topk_prob", true);
    const defaults = { ...traits.defaults, num_key_value_heads: 2, intermediate_size: 512 };
    const decoder = { ...decoderConfig(json, where, { ...traits, defaults, tied: false }), delta };
    const own = { experts: 256, perToken: 8, expertInner: 512, normalize: true, stacked: true };
    return qwenMoeConfig(c, where, decoder, { ...own, sharedInner: c.count("shared_expert_intermediate_size", 512) });
  },
};
