/**
 * Llama 2 and 3: RMSNorm, rotary positions, grouped-query attention, SwiGLU. https://arxiv.org/abs/2302.13971,
 * https://arxiv.org/abs/2407.21783
 */
import type { Architecture } from "../architecture.ts";
import { denseDecoder } from "../blocks/causal-decoder.ts";
import { type DecoderConfig, decoderConfig } from "../blocks/decoder-config.ts";
import { ConfigReader } from "../config.ts";

export const method: Architecture<DecoderConfig> = {
  name: "llama",
  title: "Llama",
  about: "RMSNorm, rotary positions, grouped-query attention, SwiGLU: Llama 2 and 3",
  cite: "arXiv:2302.13971",
  options: {},
  className: "LlamaForCausalLM",
  ...denseDecoder,

  config(json, where) {
    const c = new ConfigReader(json, where);
    const bias = c.flag("attention_bias", false);
    return decoderConfig(json, where, {
      bias: { qkv: bias, o: bias, mlp: c.flag("mlp_bias", false) },
      tied: false,
    });
  },
};
