/**
 * Phi-3, 3.5, 4 and 4-mini: Llama with q, k, v in one matrix and gate and up in another; long versions turn positions
 * by longrope. https://arxiv.org/abs/2404.14219, https://arxiv.org/abs/2412.08905
 */
import type { Architecture } from "../architecture.ts";
import { denseDecoder } from "../blocks/causal-decoder.ts";
import { type DecoderConfig, decoderConfig } from "../blocks/decoder-config.ts";
import { rotary } from "../blocks/rotary.ts";
import { ConfigReader } from "../config.ts";

export const method: Architecture<DecoderConfig> = {
  name: "phi3",
  title: "Phi-3",
  about: "Llama with q, k, v in one matrix, gate and up in another, and longrope: Phi-3, 3.5, 4 and 4-mini",
  cite: "arXiv:2404.14219",
  options: {},
  className: "Phi3ForCausalLM",
  ...denseDecoder,

  config(json, where) {
    const c = new ConfigReader(json, where);
    const original = c.count("original_max_position_embeddings", 4096);
    return decoderConfig(json, where, {
      fused: { qkv: true, gateUp: true },
      tied: false,
      eps: 1e-5,
      defaults: { max_position_embeddings: 4096 },
      kinds(sizes) {
        // Both words meant longrope before it had a name.
        const synonyms = { su: "longrope", yarn: "longrope" };
        const outside = ["original_max_position_embeddings"];
        const rope = rotary(c, { ...sizes, partial: 1, synonyms, outside });
        const kind = c.has("sliding_window") ? { window: c.count("sliding_window"), rope } : { rope };
        return Array.from({ length: sizes.layers }, () => kind);
      },
      keys: {
        original_max_position_embeddings: original,
        partial_rotary_factor: c.number("partial_rotary_factor", 1),
      },
    });
  },
};
