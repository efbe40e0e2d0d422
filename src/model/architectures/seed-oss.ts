/** Seed-OSS: Llama with heads of their own size, and biases of q, k, v and of o set apart. */
import type { Architecture } from "../architecture.ts";
import { denseDecoder } from "../blocks/causal-decoder.ts";
import { type DecoderConfig, decoderConfig } from "../blocks/decoder-config.ts";
import { ConfigReader } from "../config.ts";

export const method: Architecture<DecoderConfig> = {
  name: "seed_oss",
  title: "Seed-OSS",
  about: "Llama with heads of their own size, and biases of q, k, v and of o set apart",
  cite: "https://github.com/ByteDance-Seed/seed-oss",
  options: {},
  className: "SeedOssForCausalLM",
  ...denseDecoder,

  config(json, where) {
    const c = new ConfigReader(json, where);
    const keys = {
      attention_bias: c.flag("attention_bias", true),
      attention_out_bias: c.flag("attention_out_bias", false),
      mlp_bias: c.flag("mlp_bias", false),
    };
    return decoderConfig(json, where, {
      bias: { qkv: keys.attention_bias, o: keys.attention_out_bias, mlp: keys.mlp_bias },
      tied: false,
      defaults: { head_dim: 128, num_key_value_heads: 8, max_position_embeddings: 524_288 },
      keys,
    });
  },
};
