/**
 * Gemma 3: Gemma 2 with RMSNorm on every head of q and k in place of soft caps; five of six layers see a window and
 * have a rotary base of their own. https://arxiv.org/abs/2503.19786
 */
import type { Architecture } from "../architecture.ts";
import { denseDecoder } from "../blocks/causal-decoder.ts";
import { type DecoderConfig, decoderConfig, fullEvery, layerTypes, qkNorm } from "../blocks/decoder-config.ts";
import { gemma } from "../blocks/gemma.ts";
import { rotary } from "../blocks/rotary.ts";
import { ConfigReader } from "../config.ts";

/** Base of the layers that see a window. */
const LOCAL = { theta: 10_000, thetaKey: "rope_local_base_freq", kind: "sliding_attention", unscaled: true } as const;

export const method: Architecture<DecoderConfig> = {
  name: "gemma3_text",
  title: "Gemma 3",
  about: "Gemma 2 with norms of q and k in place of caps, windows and a rotary base of their own in five of six layers",
  cite: "arXiv:2503.19786",
  options: {},
  className: "Gemma3ForCausalLM",
  ...denseDecoder,

  config(json, where) {
    const c = new ConfigReader(json, where);
    const given = gemma(c, {});
    return decoderConfig(json, where, {
      ...given,
      scaledTable: true,
      qkNorm: qkNorm("head"),
      defaults: { head_dim: 256, num_key_value_heads: 4, max_position_embeddings: 131_072 },
      kinds(sizes) {
        const full = { rope: rotary(c, { ...sizes, theta: 1e6, kind: "full_attention" }) };
        const sliding = { window: c.count("sliding_window", 4096), rope: rotary(c, { ...sizes, ...LOCAL }) };
        const every = c.has("sliding_window_pattern") ? "sliding_window_pattern" : "_sliding_window_pattern";
        const types = layerTypes(c, sizes.layers, fullEvery(c.count(every, 6)));
        return types.map((type) => (type === "full_attention" ? full : sliding));
      },
      keys: { ...given.keys, rope_local_base_freq: c.number("rope_local_base_freq", LOCAL.theta) },
    });
  },
};
