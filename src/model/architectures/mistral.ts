/** Mistral: Llama's equations with a sliding window over the keys. https://arxiv.org/abs/2310.06825 */
import type { Architecture } from "../architecture.ts";
import { denseDecoder } from "../blocks/causal-decoder.ts";
import { type DecoderConfig, decoderConfig } from "../blocks/decoder-config.ts";
import { ConfigReader } from "../config.ts";

export const method: Architecture<DecoderConfig> = {
  name: "mistral",
  title: "Mistral",
  about: "Llama with a sliding window of attention",
  cite: "arXiv:2310.06825",
  options: {},
  className: "MistralForCausalLM",
  ...denseDecoder,

  config(json, where) {
    const c = new ConfigReader(json, where);
    const bias = c.flag("attention_bias", false);
    return decoderConfig(json, where, {
      bias: { qkv: bias, o: bias, mlp: c.flag("mlp_bias", false) },
      tied: false,
      // Null means no window; a config without the key means Mistral 7B's.
      ...(json.sliding_window === null ? {} : { window: c.count("sliding_window", 4096) }),
    });
  },
};
