/** What the dense GLM-4 models share. https://arxiv.org/abs/2406.12793 */
import type { Json } from "../architecture.ts";
import { ConfigReader } from "../config.ts";
import { type DecoderConfig, type DecoderOwn, decoderConfig } from "./decoder-config.ts";
import { rotary } from "./rotary.ts";

/** Reads a config of either; `own` is what tells one from the other. Throws UserError. */
export function glmConfig(json: Json, where: string, own: Pick<DecoderOwn, "norms">): DecoderConfig {
  const c = new ConfigReader(json, where);
  const bias = c.flag("attention_bias", true);
  return decoderConfig(json, where, {
    ...own,
    bias: { qkv: bias, o: false, mlp: false },
    fused: { qkv: false, gateUp: true },
    tied: false,
    eps: 1.5625e-7,
    defaults: { head_dim: 128, num_key_value_heads: 2, max_position_embeddings: 131_072 },
    kinds(sizes) {
      const rope = rotary(c, { ...sizes, partial: 0.5, interleaved: true });
      return Array.from({ length: sizes.layers }, () => ({ rope }));
    },
    keys: { attention_bias: bias, partial_rotary_factor: c.number("partial_rotary_factor", 0.5) },
  });
}
