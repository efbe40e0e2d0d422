/**
 * EXAONE 4: norms after the halves of a block alone, RMSNorm on every head of q and k; where some layers see a window,
 * the others know no positions. https://arxiv.org/abs/2507.11407
 */
import type { Architecture } from "../architecture.ts";
import { denseDecoder } from "../blocks/causal-decoder.ts";
import {
  type DecoderConfig,
  decoderConfig,
  fullEvery,
  type LayerType,
  layerTypes,
  NORMS_AFTER,
  qkNorm,
} from "../blocks/decoder-config.ts";
import { rotary } from "../blocks/rotary.ts";
import { ConfigReader } from "../config.ts";

/** What `sliding_window_pattern` says: every n-th layer sees all, or a word of L and G that repeats. */
function patternOf(c: ConfigReader): (layer: number) => LayerType {
  const word = c.text("sliding_window_pattern");
  if (word === undefined) return fullEvery(c.has("sliding_window") ? c.count("sliding_window_pattern", 4) : 0);
  return (layer) => (word[layer % word.length] === "L" ? "sliding_attention" : "full_attention");
}

export const method: Architecture<DecoderConfig> = {
  name: "exaone4",
  title: "EXAONE 4",
  about: "norms after the halves of a block alone; layers without a window know no positions",
  cite: "arXiv:2507.11407",
  options: {},
  className: "Exaone4ForCausalLM",
  ...denseDecoder,

  config(json, where) {
    const c = new ConfigReader(json, where);
    return decoderConfig(json, where, {
      norms: NORMS_AFTER,
      qkNorm: qkNorm("head"),
      tied: false,
      eps: 1e-5,
      kinds(sizes) {
        const rope = rotary(c, sizes);
        const windows = c.has("sliding_window");
        const types = layerTypes(c, sizes.layers, patternOf(c));
        if (!windows) return types.map(() => ({ rope }));
        const sliding = { window: c.count("sliding_window"), rope };
        return types.map((type) => (type === "full_attention" ? {} : sliding));
      },
    });
  },
};
