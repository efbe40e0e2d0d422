/**
 * Qwen3.5, its language model: Qwen3-Next with one feed-forward network in place of experts, and projections apart.
 * https://qwen.ai/blog?id=qwen3.5
 */
import type { Architecture } from "../architecture.ts";
import { causalDecoder } from "../blocks/causal-decoder.ts";
import { gatedMlp, mlpSpecs } from "../blocks/decoder.ts";
import { decoderConfig } from "../blocks/decoder-config.ts";
import { type DeltaNetConfig, deltaNet, deltaNetAttention, deltaNetSizes } from "../blocks/delta-net.ts";
import { ConfigReader } from "../config.ts";

export const method: Architecture<DeltaNetConfig> = {
  name: "qwen3_5_text",
  title: "Qwen3.5",
  about: "a state in place of keys and values in three of four layers, attention with gated heads in the fourth",
  cite: "arXiv:2412.06464",
  options: {},
  className: "Qwen3_5ForCausalLM",
  ...causalDecoder<DeltaNetConfig>(
    {
      specs: (c, prefix) => mlpSpecs(c, `${prefix}.mlp`),
      forward: (net, c, prefix, _, h, add) => gatedMlp(net, c, `${prefix}.mlp`, h, add),
    },
    { attention: deltaNetAttention },
  ),
  sizes: deltaNetSizes,

  config(json, where) {
    const c = new ConfigReader(json, where);
    const { delta, traits } = deltaNet(c, { heads: 32, grouped: false });
    for (const key of ["mlp_only_layers", "mamba_ssm_dtype"]) c.has(key); // which change nothing here
    const defaults = { ...traits.defaults, num_key_value_heads: 4 };
    return { ...decoderConfig(json, where, { ...traits, defaults, tied: false }), delta };
  },
};
