/**
 * OLMo 3: OLMo 2 with a window in three of four layers; scaled rotary positions are for the others alone.
 * https://arxiv.org/abs/2512.13961
 */
import type { Architecture } from "../architecture.ts";
import { denseDecoder } from "../blocks/causal-decoder.ts";
import {
  type DecoderConfig,
  decoderConfig,
  fullEvery,
  layerTypes,
  NORMS_AFTER,
  qkNorm,
} from "../blocks/decoder-config.ts";
import { rotary } from "../blocks/rotary.ts";
import { ConfigReader } from "../config.ts";

export const method: Architecture<DecoderConfig> = {
  name: "olmo3",
  title: "OLMo 3",
  about: "OLMo 2 with a window in three of four layers, and scaled positions in the others alone",
  cite: "arXiv:2512.13961",
  options: {},
  className: "Olmo3ForCausalLM",
  ...denseDecoder,

  config(json, where) {
    const c = new ConfigReader(json, where);
    const bias = c.flag("attention_bias", false);
    return decoderConfig(json, where, {
      bias: { qkv: bias, o: bias, mlp: false },
      norms: NORMS_AFTER,
      qkNorm: qkNorm("all"),
      tied: false,
      eps: 1e-5,
      kinds(sizes) {
        const window = c.count("sliding_window", 4096);
        const full = { rope: rotary(c, { ...sizes, kind: "full_attention" }) };
        const sliding = { window, rope: rotary(c, { ...sizes, kind: "sliding_attention", unscaled: true }) };
        const types = layerTypes(c, sizes.layers, fullEvery(4));
        return types.map((type) => (type === "full_attention" ? full : sliding));
      },
      keys: { attention_bias: bias },
    });
  },
};
