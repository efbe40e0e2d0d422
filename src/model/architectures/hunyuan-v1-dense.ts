/**
 * Hunyuan dense: Llama with an RMSNorm on every head of q and k after the rotation, and a rotary base that `alpha`
 * enlarges. https://github.com/Tencent-Hunyuan
 */
import type { Architecture } from "../architecture.ts";
import { denseDecoder } from "../blocks/causal-decoder.ts";
import { type DecoderConfig, decoderConfig } from "../blocks/decoder-config.ts";
import { rotary } from "../blocks/rotary.ts";
import { ConfigReader } from "../config.ts";

export const method: Architecture<DecoderConfig> = {
  name: "hunyuan_v1_dense",
  title: "Hunyuan dense",
  about: "Llama with an RMSNorm on every head of q and k after the rotation",
  cite: "https://github.com/Tencent-Hunyuan",
  options: {},
  className: "HunYuanDenseV1ForCausalLM",
  ...denseDecoder,

  config(json, where) {
    const c = new ConfigReader(json, where);
    const bias = c.flag("attention_bias", false);
    c.only("use_qk_norm", true);
    c.only("use_cla", false);
    return decoderConfig(json, where, {
      bias: { qkv: bias, o: bias, mlp: false },
      qkNorm: { over: "head", rotated: true, names: { q: "query_layernorm", k: "key_layernorm" } },
      tied: false,
      eps: 1e-5,
      kinds(sizes) {
        const rope = rotary(c, { ...sizes, reads: ["alpha"] });
        return Array.from({ length: sizes.layers }, () => ({ rope }));
      },
      keys: { attention_bias: bias },
    });
  },
};
