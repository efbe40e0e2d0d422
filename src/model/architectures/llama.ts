/**
 * Llama 2 and 3, Mistral: RMSNorm, rotary positions, grouped-query attention, SwiGLU. https://arxiv.org/abs/2302.13971,
 * https://arxiv.org/abs/2407.21783, https://arxiv.org/abs/2310.06825
 */
import type { Architecture } from "../architecture.ts";
import {
  attentionSpecs,
  type DecoderConfig,
  decoderConfig,
  decoderForward,
  decoderHead,
  decoderImplied,
  decoderParameters,
  decoderSizes,
  gatedMlp,
  mlpSpecs,
  normSpec,
} from "../blocks/decoder.ts";
import { ConfigReader } from "../config.ts";

export const architecture: Architecture<DecoderConfig> = {
  modelTypes: ["llama", "mistral"],
  task: "causal-lm",
  sizes: decoderSizes,
  implied: decoderImplied,

  config(json, where) {
    const c = new ConfigReader(json, where);
    const bias = c.flag("attention_bias", false);
    // Null says that there is none; a config without the key means Mistral 7B's.
    const window =
      json.model_type === "mistral" && json.sliding_window !== null ? { window: c.count("sliding_window", 4096) } : {};
    return decoderConfig(json, where, {
      bias: { qkv: bias, o: bias, mlp: c.flag("mlp_bias", false) },
      qkNorm: "none",
      tied: false,
      ...window,
    });
  },

  parameters: (c) =>
    decoderParameters(c, (prefix) => [
      ...attentionSpecs(c, prefix),
      ...mlpSpecs(c, `${prefix}.mlp`),
      normSpec(c, `${prefix}.input_layernorm.weight`),
      normSpec(c, `${prefix}.post_attention_layernorm.weight`),
    ]),

  forward: (net, c, inputs) =>
    decoderForward(net, c, inputs, (prefix, _, h, add) => gatedMlp(net, `${prefix}.mlp`, h, add)),

  head: decoderHead,
};
