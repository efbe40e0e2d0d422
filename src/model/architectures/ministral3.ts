/**
 * Ministral 3: Mistral with yarn, whose queries grow with the position: q (1 + beta ln(1 + floor(p / original))).
 * https://arxiv.org/abs/2601.08584
 */
import type { RopeTables } from "../../tensor/ops/rope-scaling.ts";
import type { Architecture } from "../architecture.ts";
import { denseDecoder } from "../blocks/causal-decoder.ts";
import { type DecoderConfig, decoderConfig } from "../blocks/decoder-config.ts";
import { rotary } from "../blocks/rotary.ts";
import { ConfigReader, numberIn } from "../config.ts";

/** How queries grow with the position; undefined where they do not. */
function growthOf(c: ConfigReader, maxPositions: number): RopeTables["growth"] {
  const given = c.object("rope_parameters") ?? c.object("rope_scaling");
  const at = (key: string, fallback: number, open = true) =>
    numberIn(given?.[key] ?? fallback, c.where, `rope_parameters.${key}`, { least: 0, open });
  const beta = at("llama_4_scaling_beta", 0, false);
  if (beta === 0) return undefined;
  return { beta, original: at("original_max_position_embeddings", maxPositions) };
}

export const method: Architecture<DecoderConfig> = {
  name: "ministral3",
  title: "Ministral 3",
  about: "Mistral with yarn, whose queries grow with the position",
  cite: "arXiv:2601.08584",
  options: {},
  className: "Ministral3ForCausalLM",
  ...denseDecoder,

  config(json, where) {
    const c = new ConfigReader(json, where);
    return decoderConfig(json, where, {
      tied: false,
      eps: 1e-5,
      defaults: { head_dim: 128, num_key_value_heads: 8, max_position_embeddings: 262_144 },
      kinds(sizes) {
        const rope = rotary(c, { ...sizes, theta: 1e6, reads: ["llama_4_scaling_beta"] });
        const growth = growthOf(c, sizes.maxPositions);
        const window = c.has("sliding_window") ? { window: c.count("sliding_window") } : {};
        const kind = { rope, ...(growth ? { queryRope: { ...rope, growth } } : {}), ...window };
        return Array.from({ length: sizes.layers }, () => kind);
      },
    });
  },
};
