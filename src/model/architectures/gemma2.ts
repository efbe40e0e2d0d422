/**
 * Gemma 2: norms with a gain of 1 + w around both halves of a block, GELU gates, soft caps on scores and logits, and a
 * window in every other layer. https://arxiv.org/abs/2408.00118
 */
import type { Architecture } from "../architecture.ts";
import { denseDecoder } from "../blocks/causal-decoder.ts";
import { type DecoderConfig, decoderConfig, layerTypes } from "../blocks/decoder-config.ts";
import { gemma } from "../blocks/gemma.ts";
import { rotary } from "../blocks/rotary.ts";
import { ConfigReader } from "../config.ts";

export const method: Architecture<DecoderConfig> = {
  name: "gemma2",
  title: "Gemma 2",
  about: "norms of gain 1 + w around both halves of a block, soft caps on scores and logits, alternating windows",
  cite: "arXiv:2408.00118",
  options: {},
  className: "Gemma2ForCausalLM",
  ...denseDecoder,

  config(json, where) {
    const c = new ConfigReader(json, where);
    return decoderConfig(json, where, {
      ...gemma(c, { scores: 50, logits: 30 }),
      defaults: { head_dim: 256, num_key_value_heads: 4, max_position_embeddings: 8192 },
      kinds(sizes) {
        const rope = rotary(c, sizes);
        const window = c.count("sliding_window", 4096);
        const types = layerTypes(c, sizes.layers, (layer) =>
          layer % 2 === 0 ? "sliding_attention" : "full_attention",
        );
        return types.map((type) => (type === "full_attention" ? { rope } : { window, rope }));
      },
    });
  },
};
