/**
 * Cohere 2 (Command R7B, Command A): one LayerNorm without a bias feeds attention and feed-forward network; three of
 * four layers see a window and turn neighbours, the others see everything and know no positions; logits are scaled.
 * https://arxiv.org/abs/2504.00698
 */
import type { Architecture } from "../architecture.ts";
import { denseDecoder } from "../blocks/causal-decoder.ts";
import { type DecoderConfig, decoderConfig, fullEvery, layerTypes } from "../blocks/decoder-config.ts";
import { rotary } from "../blocks/rotary.ts";
import { ConfigReader } from "../config.ts";

export const method: Architecture<DecoderConfig> = {
  name: "cohere2",
  title: "Cohere 2",
  about: "one LayerNorm before attention and feed-forward network side by side, windows in three of four layers",
  cite: "arXiv:2504.00698",
  options: {},
  className: "Cohere2ForCausalLM",
  ...denseDecoder,

  config(json, where) {
    const c = new ConfigReader(json, where);
    const bias = c.flag("attention_bias", false);
    const scale = c.number("logit_scale", 0.0625, { least: 0, open: true });
    for (const key of ["use_parallel_block", "use_gated_activation", "use_embedding_sharing"]) c.only(key, true);
    c.only("position_embedding_type", "rope_gptj");
    return decoderConfig(json, where, {
      bias: { qkv: bias, o: bias, mlp: false },
      norm: "layer",
      norms: { attention: { before: "input_layernorm" }, feedForward: {} },
      parallel: true,
      multipliers: { embedding: 1, residual: 1, logits: scale },
      tied: true,
      epsKey: "layer_norm_eps",
      eps: 1e-5,
      defaults: { max_position_embeddings: 8192 },
      kinds(sizes) {
        const sliding = { window: c.count("sliding_window", 4096), rope: rotary(c, { ...sizes, interleaved: true }) };
        const types = layerTypes(c, sizes.layers, fullEvery(c.count("sliding_window_pattern", 4)));
        return types.map((type) => (type === "full_attention" ? {} : sliding));
      },
      keys: { attention_bias: bias, logit_scale: scale },
    });
  },
};
