/**
 * OLMo 2: norms after attention and after the feed-forward network, none before them, and RMSNorm over all heads of q
 * and k. https://arxiv.org/abs/2501.00656
 */
import type { Architecture } from "../architecture.ts";
import { denseDecoder } from "../blocks/causal-decoder.ts";
import { type DecoderConfig, decoderConfig, NORMS_AFTER, qkNorm } from "../blocks/decoder-config.ts";
import { ConfigReader } from "../config.ts";

export const method: Architecture<DecoderConfig> = {
  name: "olmo2",
  title: "OLMo 2",
  about: "norms after attention and after the feed-forward network alone, RMSNorm over all heads of q and k",
  cite: "arXiv:2501.00656",
  options: {},
  className: "Olmo2ForCausalLM",
  ...denseDecoder,

  config(json, where) {
    const bias = new ConfigReader(json, where).flag("attention_bias", false);
    return decoderConfig(json, where, {
      bias: { qkv: bias, o: bias, mlp: false },
      norms: NORMS_AFTER,
      qkNorm: qkNorm("all"),
      tied: false,
      eps: 1e-5,
      keys: { attention_bias: bias },
    });
  },
};
