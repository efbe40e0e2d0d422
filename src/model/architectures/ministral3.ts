/**
 * Ministral 3: Mistral with yarn, whose queries grow with the position: q (1 + beta ln(1 + floor(p / original))).
 * https://arxiv.org/abs/2601.08584
 */
import type { Architecture } from "../architecture.ts";
import { denseDecoder } from "../blocks/causal-decoder.ts";
import { type DecoderConfig, decoderConfig } from "../blocks/decoder-config.ts";
import { rotary } from "../blocks/rotary.ts";
import { ConfigReader, numberIn } from "../config.ts";

/** What the query at a position is multiplied with; undefined where queries do not grow. */
function queryScale(c: ConfigReader, maxPositions: number): ((position: number) => number) | undefined {
  const given = c.object("rope_parameters") ?? c.object("rope_scaling");
  const at = (key: string, fallback: number) =>
    numberIn(given?.[key] ?? fallback, c.where, `rope_parameters.${key}`, { least: 0 });
  const beta = at("llama_4_scaling_beta", 0);
  if (beta === 0) return undefined;
  const original = at("original_max_position_embeddings", maxPositions);
  return (position) => 1 + beta * Math.log(1 + Math.floor(position / original));
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
        const scaleAt = queryScale(c, sizes.maxPositions);
        const window = c.has("sliding_window") ? { window: c.count("sliding_window") } : {};
        const kind = { rope, ...(scaleAt ? { queryRope: { ...rope, scaleAt } } : {}), ...window };
        return Array.from({ length: sizes.layers }, () => kind);
      },
    });
  },
};
