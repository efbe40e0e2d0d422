/**
 * Granite 3: Llama with multipliers of the embedding, of the scores, of what each half of a block adds, and of the
 * logits. https://github.com/ibm-granite/granite-3.0-language-models
 */
import type { Architecture } from "../architecture.ts";
import { denseDecoder } from "../blocks/causal-decoder.ts";
import { type DecoderConfig, decoderConfig } from "../blocks/decoder-config.ts";
import { ConfigReader } from "../config.ts";

export const method: Architecture<DecoderConfig> = {
  name: "granite",
  title: "Granite",
  about: "Llama with multipliers of the embedding, the scores, the branches and the logits: Granite 3",
  cite: "https://github.com/ibm-granite/granite-3.0-language-models",
  options: {},
  className: "GraniteForCausalLM",
  ...denseDecoder,

  config(json, where) {
    const c = new ConfigReader(json, where);
    const [attention, mlp] = [c.flag("attention_bias", false), c.flag("mlp_bias", false)];
    const above = { least: 0, open: true };
    const keys = {
      embedding_multiplier: c.number("embedding_multiplier", 1, above),
      attention_multiplier: c.number("attention_multiplier", 1, above),
      residual_multiplier: c.number("residual_multiplier", 1, above),
      logits_scaling: c.number("logits_scaling", 1, above),
    };
    return decoderConfig(json, where, {
      bias: { qkv: attention, o: attention, mlp },
      attentionScale: keys.attention_multiplier,
      multipliers: {
        embedding: keys.embedding_multiplier,
        residual: keys.residual_multiplier,
        logits: 1 / keys.logits_scaling,
      },
      tied: false,
      keys: { ...keys, attention_bias: attention, mlp_bias: mlp },
    });
  },
};
